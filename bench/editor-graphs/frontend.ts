import { type Browser, chromium, type Page } from 'playwright-core';
import type { Graph } from '../../src/core/graph.ts';

const startLimitMs = 120_000;
const fileLimitMs = 60_000;
/** Every file leaves something behind in the page. */
const filesPerPage = 100;

/** What stands in the way of the first graph, in the words of ComfyUI's settings. */
const settings: Readonly<Record<string, unknown>> = {
  'Comfy.TutorialCompleted': true,
  'Comfy.InstalledVersion': '99.0.0',
  'Comfy.Release.Status': 'skipped',
  'Comfy.Workflow.Persist': false,
  'Comfy.Workflow.AutoSave': 'off',
  'Comfy.Workflow.WarnBlueprintOverwrite': false,
};

/** ComfyUI's own editor in a browser without a window, as a ComfyUI server brings it. */
export class Frontend implements AsyncDisposable {
  readonly #browser: Browser;
  readonly #origin: string;
  #page: Page | null = null;
  #files = 0;

  private constructor(browser: Browser, origin: string) {
    this.#browser = browser;
    this.#origin = origin;
  }

  static async open(serverUrl: string, chromiumPath: string): Promise<Frontend> {
    const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking'];
    const browser = await chromium.launch({ executablePath: chromiumPath, args });
    return new Frontend(browser, new URL(serverUrl).origin);
  }

  /**
   * The prompt that the editor would send for the file.
   *
   * @throws Error that the editor raises on the file.
   */
  async promptOf(file: object): Promise<Graph> {
    const page = await this.#freshPage();
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<never>((_, reject) => {
      const late = () => reject(new Error(`The editor gave no answer in ${fileLimitMs} ms`));
      timer = setTimeout(late, fileLimitMs);
    });
    try {
      return (await Promise.race([page.evaluate(convertInPage, file), limit])) as Graph;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser.close();
  }

  async #freshPage(): Promise<Page> {
    if (this.#page && this.#files < filesPerPage) {
      this.#files += 1;
      return this.#page;
    }
    await this.#page?.context().close();
    const context = await this.#browser.newContext({ serviceWorkers: 'block' });
    // Nothing but the server is asked, and nothing is written to it.
    await context.route(
      ({ origin, protocol }) => origin !== this.#origin && protocol.startsWith('http'),
      (route) => route.abort(),
    );
    await context.route(/\/settings(\/[^/]*)?$/, async (route) => {
      const [, name] = /\/settings\/(.+)$/.exec(new URL(route.request().url()).pathname) ?? [];
      const json = name === undefined ? settings : (settings[decodeURIComponent(name)] ?? null);
      await route.fulfill(route.request().method() === 'GET' ? { json } : { status: 200 });
    });
    await context.route(/\/userdata\//, async (route) => {
      if (route.request().method() === 'GET') await route.continue();
      else await route.fulfill({ json: {} });
    });
    const page = await context.newPage();
    page.on('dialog', (dialog) => void dialog.dismiss().catch(() => {}));
    await page.goto(this.#origin, { waitUntil: 'domcontentloaded' });
    await page.waitForFunction(isReadyInPage, undefined, { timeout: startLimitMs });
    this.#page = page;
    this.#files = 1;
    return page;
  }
}

/** As much of the editor's global object as is used here. */
interface EditorApp {
  readonly rootGraph: { configure: (...values: unknown[]) => unknown } | undefined;
  readonly vueAppReady: boolean;
  readonly extensionManager: { readonly workflow: { readonly activeWorkflow: unknown } };
  loadGraphData(file: object, ...options: unknown[]): Promise<void>;
  graphToPrompt(): Promise<{ readonly output: unknown }>;
}

function isReadyInPage(): boolean {
  const { app } = globalThis as unknown as { app?: EditorApp };
  return Boolean(app?.rootGraph && app.vueAppReady && app.extensionManager.workflow.activeWorkflow);
}

/** Runs in the page, so it may use nothing from here. */
async function convertInPage(file: object): Promise<unknown> {
  const { app } = globalThis as unknown as { app: EditorApp };
  const graph = app.rootGraph as { configure: (...values: unknown[]) => unknown };
  // What goes wrong in there is shown in a dialog and goes no further.
  const thrown: unknown[] = [];
  const { configure } = graph;
  graph.configure = (...values) => {
    try {
      return configure.apply(graph, values);
    } catch (error) {
      thrown.push(error);
      throw error;
    }
  };
  try {
    await app.loadGraphData(file, true, false, null, {
      skipAssetScans: true,
      silentAssetErrors: true,
    });
  } finally {
    graph.configure = configure;
  }
  if (thrown.length > 0) throw thrown[0];
  await new Promise((done) => setTimeout(done, 0));
  const { output } = await app.graphToPrompt();
  // As it goes over the wire.
  return JSON.parse(JSON.stringify(output));
}
