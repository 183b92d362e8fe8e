// Looks at the console as a person does, in Debian's Chromium, and fails where it is not as promised.
//
// browse.cjs SCENARIO SETTINGS, the settings as JSON. What a scenario found is printed as a JSON object. Every scenario
// fails when the browser reports anything: a script's error, or something that the content policy kept from loading.
"use strict";

const assert = require("node:assert/strict");
const { createHmac } = require("node:crypto");
const { chromium } = require("playwright-core");

const [scenario, settings] = [process.argv[2], JSON.parse(process.argv[3])];
const { console: base, webhooks, secret } = settings;
const LIMIT = 20_000;

const SCENARIOS = {
  // What comes while the page is open is shown, and what becomes of it, without another load.
  async arrivals(page) {
    await page.goto(base);
    await page.getByText("live", { exact: true }).waitFor();
    await page.evaluate(() => { window.untouched = true; });
    await post({ id: "live-1", event: "call.start", call_id: "CALL-live", agent_id: "agent-live" });
    const row = page.locator("#arrivals tr", { hasText: "CALL-live" });
    await row.getByText("published", { exact: true }).waitFor({ timeout: LIMIT });
    assert.equal(await page.evaluate(() => window.untouched), true, "the page was loaded again");
    await page.locator(".legend .stored b", { hasText: /[1-9]/ }).waitFor({ timeout: LIMIT });

    await page.getByRole("button", { name: "Pause" }).click();
    await post({ id: "live-2", event: "call.end", call_id: "CALL-paused" });
    await page.getByRole("button", { name: "Go on" }).click();
    await page.locator("#arrivals tr", { hasText: "CALL-paused" }).waitFor({ timeout: LIMIT });
    return { rows: await page.locator("#arrivals tbody tr").count() };
  },

  // A call is found by each thing that it can be searched by, and its timeline says what is missing.
  async search(page) {
    const found = {};
    for (const [field, value] of settings.questions) {
      await page.goto(`${base}/search`);
      if (field === "state") await page.getByLabel("State").selectOption(value);
      else await page.getByLabel(field, { exact: true }).fill(value);
      await page.getByRole("button", { name: "Search" }).click();
      found[`${field} ${value}`] = await page.locator("table.list td.call").allInnerTexts();
    }
    await page.goto(`${base}/search?call=${settings.call}`);
    await page.getByRole("link", { name: settings.call }).first().click();
    const events = await page.locator(".timeline li").evaluateAll((items) =>
      items.map((item) => `${item.querySelector(".what").textContent} ${item.querySelector(".state").textContent}`));
    return { found, events };
  },

  // What somebody sent is text, on every page that shows it.
  async markup(page) {
    const sent = settings.markup;
    let opened = false;
    page.on("dialog", (dialog) => { opened = true; dialog.dismiss(); });
    const shows = async (path) => {
      await page.goto(base + path);
      const [text, elements] = await page.evaluate(() =>
        [document.body.innerText, document.querySelectorAll("main img, main script, main b:not(.legend b)").length]);
      assert.ok(text.includes(sent) || text.includes(JSON.stringify(sent)), `${path} shows what was sent: ${text}`);
      assert.equal(elements, 0, `${path} has an element that was sent`);
      assert.equal(await page.evaluate(() => window.broken), undefined, `${path} ran what was sent`);
    };
    const call = encodeURIComponent(`CALL-${sent}`);
    await shows("/");
    await shows(`/call?id=${call}`);
    await shows(`/search?call=${call}`);
    await shows("/deliveries/1");
    await shows("/quarantine");
    // And by the live page's own way.
    await page.goto(base);
    await page.getByText("live", { exact: true }).waitFor();
    await post({ id: "live-markup", event: sent, call_id: `CALL-live-${sent}` });
    await page.locator("#arrivals td.call", { hasText: "CALL-live-" }).waitFor({ timeout: LIMIT });
    assert.equal(await page.locator("main img, main script").count(), 0);
    assert.equal(opened, false, "a dialog opened");
    return {};
  },

  // A dead letter is published again, and what was refused is verified again, by hand.
  async retry(page) {
    await page.goto(`${base}/dead-letters`);
    const row = page.locator("tr", { hasText: settings.call });
    assert.equal(await row.locator("td").nth(3).innerText(), settings.reason);
    await row.getByRole("checkbox").check();
    await page.getByRole("button", { name: "Publish the selected again" }).click();
    const told = await page.getByRole("status").innerText();
    await until(page, () => page.locator("tr", { hasText: settings.call }).count().then((count) => count === 0));
    return { told };
  },

  async verify(page) {
    await page.goto(`${base}/quarantine`);
    assert.equal(await page.locator("tbody tr").count(), settings.count);
    await page.getByLabel("Select all").check();
    await page.getByRole("button", { name: "Verify the selected again" }).click();
    return { told: await page.getByRole("status").innerText() };
  },

  // Whoever does not know the token sees nothing else; whoever knows it is where they wanted to go.
  async token(page) {
    const refused = await page.request.get(`${base}/live`, { failOnStatusCode: false });
    assert.equal(refused.status(), 401);
    await page.goto(`${base}/search?call=CALL-1`);
    assert.ok(page.url().includes("/login"), page.url());
    assert.ok(!(await page.content()).includes("Dead letters"));
    await page.getByLabel("Token").fill("not the token, but long");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText("That is not the token.").waitFor();
    await page.getByLabel("Token").fill(settings.token);
    await page.keyboard.press("Enter");
    await page.waitForURL(`${base}/search?call=CALL-1`);
    await page.goto(base);
    await page.getByText("live", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.goto(base);
    assert.ok(page.url().includes("/login"), page.url());
    return {};
  },

  // Everything that can be clicked can be reached and seen by the keyboard alone.
  async keyboard(page) {
    const counts = {};
    for (const path of ["/", "/search", "/dead-letters", "/quarantine", "/deliveries/1", "/login"]) {
      await page.goto(base + path);
      if (path === "/") await page.getByRole("button", { name: "Pause" }).click();
      const all = await page.locator("a, button, input:not([type=hidden]), select").evaluateAll((controls) =>
        controls.filter((control) => control.checkVisibility()).length);
      // Around once and a bit more, wherever the page began.
      const reached = new Set();
      for (let presses = 0; presses < 2 * all + 10; presses += 1) {
        await page.keyboard.press("Tab");
        const at = await page.evaluate(() => {
          const active = document.activeElement;
          const controls = [...document.querySelectorAll("a, button, input:not([type=hidden]), select")];
          return [controls.indexOf(active), getComputedStyle(active).outlineStyle, active.outerHTML.slice(0, 80)];
        });
        if (at[0] < 0) continue;
        reached.add(at[0]);
        assert.notEqual(at[1], "none", `the focus can be seen on ${at[2]}`);
      }
      assert.equal(reached.size, all, `${path}: what can be reached by keyboard`);
      counts[path] = all;
    }
    await page.goto(base);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main", "the way past the header");
    await page.goto(`${base}/search`);
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "call");
    return counts;
  },

  // In both colour schemes and at a phone's width nothing lies outside the page, and text stands out from its ground.
  async looks(page, browser) {
    const contrasts = {};
    for (const [scheme, width] of [["light", 1280], ["dark", 1280], ["light", 390], ["dark", 390]]) {
      const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height: 844 } });
      const page = await context.newPage();
      watch(page);
      for (const [name, path] of settings.pages) {
        const { pathname } = new URL(path, base);
        const answer = await page.goto(base + path);
        assert.equal(answer.status(), pathname === "/nowhere" ? 404 : 200, path);
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= width, `${path} is ${wide} wide at ${width}`);
        const contrast = await page.evaluate(leastContrast);
        contrasts[scheme] = Math.min(contrasts[scheme] ?? 99, contrast);
        if (settings.shots) await page.screenshot({ path: `${settings.shots}/${name}-${scheme}-${width}.png`, fullPage: true });
      }
      await context.close();
    }
    return contrasts;
  },
};

// The contrast of the text that stands out least, by WCAG's formula.
function leastContrast() {
  const light = (css) => {
    const [r, g, b] = css.match(/[\d.]+/g).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = light(getComputedStyle(document.documentElement).backgroundColor);
  const texts = [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility()
    && [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));
  return Math.min(...texts.map((element) => {
    const text = light(getComputedStyle(element).color);
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  }));
}

async function post(delivery) {
  const body = JSON.stringify(delivery);
  const signature = createHmac("sha256", secret).update(body).digest("hex");
  const headers = { "content-type": "application/json", "x-signature": signature };
  const answer = await fetch(`${webhooks}/webhooks/default`, { method: "POST", headers, body });
  assert.equal(answer.status, 200);
}

async function until(page, holds) {
  const end = Date.now() + LIMIT;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `waited too long at ${page.url()}: ${await page.locator("main").innerText()}`);
    await page.reload();
  }
}

const complaints = [];
function watch(page) {
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    // A page that is not there, or that is refused, says so: that is no fault of the page.
    const expected = /status of 40[14]/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !expected) complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(base)) complaints.push(`asked for ${request.url()}`);
  });
}

(async () => {
  const executablePath = settings.chromium;
  // Chromium's own sandbox wants a user that is not root; nothing but the console is looked at.
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(LIMIT);
    watch(page);
    const found = await SCENARIOS[scenario](page, browser);
    assert.deepEqual(complaints, [], "what the browser complained of");
    console.log(JSON.stringify(found));
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
