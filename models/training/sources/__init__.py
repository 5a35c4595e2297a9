"""Where films for training come from: a manifest, a folder of DICOM files, the folders that Kermany published."""
