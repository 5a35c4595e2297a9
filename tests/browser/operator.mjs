// node operator.mjs CHROMIUM URL USER PASSWORD FOLDER NAME...: an operator at Flower. Says "watching" on the page of
// tasks, sees tasks of these names come and succeed, then looks at every page; tells as JSON what each page was, and
// leaves pictures of them in the folder.
import { launched } from "./chromium.mjs";

const [executablePath, url, username, password, folder, ...names] = process.argv.slice(2);
const browser = await launched(executablePath);
const opened = async (httpCredentials) => {
  const screen = { viewport: { width: 1280, height: 900 }, ignoreHTTPSErrors: true, httpCredentials };
  return (await browser.newContext(screen)).newPage();
};
const told = { refused: {}, faults: [], elsewhere: [], states: {}, pages: {} };

const listed = (page) => page.evaluate(() => {
  const heads = [...document.querySelectorAll("#tasks-table_wrapper .dataTables_scrollHead th")];
  return [...document.querySelectorAll("#tasks-table tbody tr[id]")].map((row) =>
    Object.fromEntries([...row.cells].map((cell, at) => [heads[at].dataset.column, cell.innerText])));
});

const drawn = async (page) => {
  await page.goto(`${url}tasks`);
  await page.waitForSelector("#tasks-table tbody tr");
  return listed(page);
};

const looked = async (page, name) => {
  await page.screenshot({ path: `${folder}/flower-${name}.png`, fullPage: true });
  told.pages[name] = { title: await page.title(), words: await page.innerText("body"), whole: await page.content() };
};

try {
  for (const [who, credentials] of [["nobody", undefined], ["wrong password", { username, password: `${password}x` }]]) {
    const page = await opened(credentials);
    told.refused[who] = await page.goto(url).then((answer) => answer.status(), (fault) => fault.message.split("\n")[0]);
  }
  const page = await opened({ username, password });
  page.on("pageerror", (error) => told.faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && told.faults.push(message.text()));
  page.on("request", (request) => request.url().startsWith(url) || told.elsewhere.push(request.url()));
  page.on("response", (answer) => answer.status() >= 400 && answer.status() !== 401 &&
    told.faults.push(`${answer.status()} ${answer.url()}`));

  told.before = await drawn(page);
  console.log("watching");
  const until = Date.now() + 120_000;
  for (let over = false; !over && Date.now() < until; await page.waitForTimeout(200)) {
    const rows = await drawn(page);
    for (const row of rows) {
      const seen = (told.states[row.name] ||= []);
      seen.includes(row.state) || seen.push(row.state);
    }
    over = names.every((name) => rows.some((row) => row.name === name && row.state === "SUCCESS"));
  }
  told.tasks = await listed(page);
  await looked(page, "tasks");
  for (const link of await page.$$eval("#tasks-table tbody a[href*='/task/']", (all) => all.map((one) => one.href))) {
    await page.goto(link);
    await looked(page, `task-${Object.keys(told.pages).length}`);
  }
  await page.goto(url);
  await page.waitForFunction(() => document.querySelector("#workers-online").innerText >= "2");
  await looked(page, "workers");
  for (const link of await page.$$eval("#workers-table tbody a[href*='/worker/']", (all) => all.map((one) => one.href))) {
    await page.goto(link);
    const name = decodeURIComponent(link).replace(/.*worker\/([a-z]+)@.*/, "worker-$1");
    await looked(page, name);
    for (const tab of await page.$$("[role=tab]")) {
      await tab.click();
      await page.waitForTimeout(300);
      await looked(page, `${name}-${(await tab.innerText()).toLowerCase()}`);
    }
  }
  await page.goto(`${url}broker`);
  await looked(page, "broker");
  console.log(JSON.stringify(told));
} catch (fault) {
  console.error(told.faults.join("\n"));
  throw fault;
} finally {
  await browser.close();
}
