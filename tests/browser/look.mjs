// node look.mjs CHROMIUM URL WIDTH HEIGHT PICTURE: what the page tells as JSON on standard output, and its picture.
import { launched } from "./chromium.mjs";

const [executablePath, url, width, height, path] = process.argv.slice(2);
const browser = await launched(executablePath);
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
