"""Result objects: one DICOM object family a file, all from the same Reading."""
