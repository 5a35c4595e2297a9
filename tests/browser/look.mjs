// node look.mjs CHROMIUM URL WIDTH HEIGHT PICTURE: what the page tells as JSON on standard output, and its picture.
import { createRequire } from "node:module";

const { chromium } = createRequire(process.cwd() + "/")("playwright-core");
const [executablePath, url, width, height, path] = process.argv.slice(2);
const args = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];
const browser = await chromium.launch({ executablePath, args });
try {
  const page = await browser.newPage({ viewport: { width: Number(width), height: Number(height) } });
  page.on("pageerror", (error) => console.error(String(error)));
  await page.goto(url);
  await page.waitForFunction(() => window.told, null, { timeout: 60_000 });
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  await page.screenshot({ path });
  console.log(JSON.stringify(await page.evaluate(() => window.told)));
} finally {
  await browser.close();
}
