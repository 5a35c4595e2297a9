// node page.mjs CHROMIUM FILE FOLDER NAME: a page without network or scripts, as JSON what a browser makes of it;
// its pictures on a light and a dark screen, and printed, in the folder.
import { pathToFileURL } from "node:url";
import { launched } from "./chromium.mjs";

const [executablePath, file, folder, name] = process.argv.slice(2);
const browser = await launched(executablePath);
try {
  const told = { asked: [], said: [], seen: {} };
  for (const colorScheme of ["light", "dark"]) {
    const screen = { viewport: { width: 1280, height: 900 }, colorScheme, offline: true, javaScriptEnabled: false };
    const page = await (await browser.newContext(screen)).newPage();
    page.on("request", (request) => told.asked.push(request.url().slice(0, 40)));
    page.on("console", (message) => told.said.push(message.text()));
    await page.goto(pathToFileURL(file).href);
    await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png`, fullPage: true });
    told.seen[colorScheme] = await page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      pictures: [...document.images].map((image) => [image.naturalWidth, image.alt]),
      charts: [...document.querySelectorAll("svg.chart")].map((chart) => {
        const box = chart.getBoundingClientRect();
        const words = [...chart.querySelectorAll("text")].map((text) => text.getBoundingClientRect());
        const outside = words.filter((word) => word.left < box.left - 1 || word.right > box.right + 1 ||
          word.top < box.top - 1 || word.bottom > box.bottom + 1).length;
        const over = words.filter((word, i) => words.some((other, j) => i < j && word.left < other.right &&
          other.left < word.right && word.top < other.bottom && other.top < word.bottom)).length;
        return { over, name: chart.getAttribute("aria-label"), width: box.width, words: words.length, outside,
          dots: chart.querySelectorAll("path.dots").length };
      }),
      headless: [...document.querySelectorAll("table")].filter((table) => !table.querySelector("th")).length,
      paper: getComputedStyle(document.body).backgroundColor,
    }));
    if (colorScheme === "light") {
      await page.pdf({ path: `${folder}/${name}.pdf`, format: "A4" });
    }
  }
  console.log(JSON.stringify(told));
} finally {
  await browser.close();
}
