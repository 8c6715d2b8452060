import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { request } from 'undici';
import packageJson from '../package.json' with { type: 'json' };
import { Emulator } from '../src/emulator/emulator.ts';
import { bareEnv } from './support/bare-env.ts';
import { patienceMs } from './support/patience.ts';
import { gatewayDatabase } from './support/test-database.ts';
import { sleepGraph } from './support/test-workflows.ts';

const program = fileURLToPath(new URL('../bin/tmlsr.js', import.meta.url));
/** Makes the Node that runs the program believe that it is an old one. */
const asOldNode = [
  '--import',
  `data:text/javascript,${encodeURIComponent(
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } })",
  )}`,
];

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface HowToRun {
  readonly env?: Readonly<Record<string, string>>;
  readonly node?: string;
  readonly nodeArgs?: readonly string[];
  /** Where the program lies. */
  readonly at?: string;
}

/** Needs a model. */
const upscale = {
  '1': { class_type: 'LoadImage', inputs: { image: 'a.png' } },
  '2': { class_type: 'UpscaleModelLoader', inputs: { model_name: 'RealESRGAN_x4plus.pth' } },
  '3': {
    class_type: 'ImageUpscaleWithModel',
    inputs: { upscale_model: ['2', 0], image: ['1', 0] },
  },
  '4': { class_type: 'SaveImage', inputs: { images: ['3', 0], filename_prefix: 'x' } },
};

/** Takes a clip apart. */
const clipGraph = {
  '1': { class_type: 'LoadVideo', inputs: { file: 'a.mp4' } },
  '2': { class_type: 'GetVideoComponents', inputs: { video: ['1', 0] } },
  '3': { class_type: 'CreateVideo', inputs: { images: ['2', 0], fps: ['2', 2] } },
  '4': {
    class_type: 'SaveVideo',
    inputs: { video: ['3', 0], filename_prefix: 'x', format: 'auto', codec: 'auto' },
  },
};

/** As the editor saves it: the pause of the sleep exposed, behind a reroute, beside a note. */
const editorFile = {
  nodes: [
    {
      id: 1,
      type: 'LoadImage',
      title: '加载图像',
      mode: 0,
      outputs: [
        { name: 'IMAGE', type: 'IMAGE', links: [1] },
        { name: 'MASK', type: 'MASK', links: null },
      ],
      widgets_values: ['input.png', 'image'],
    },
    {
      id: 2,
      type: 'Reroute',
      mode: 0,
      inputs: [{ name: '', type: '*', link: 1 }],
      outputs: [{ name: '', type: 'IMAGE', links: [2] }],
    },
    {
      id: 3,
      type: 'EmulatorSleep',
      mode: 0,
      inputs: [
        { name: 'image', type: 'IMAGE', link: 2 },
        {
          name: 'seconds',
          label: '@param:pause',
          type: 'FLOAT',
          widget: { name: 'seconds' },
          link: null,
        },
      ],
      outputs: [{ name: 'IMAGE', type: 'IMAGE', links: [3] }],
      widgets_values: [0.5, 10, 0, '', 0],
    },
    {
      id: 4,
      type: 'SaveImage',
      mode: 0,
      inputs: [{ name: 'images', type: 'IMAGE', link: 3 }],
      widgets_values: ['ComfyUI'],
    },
    { id: 5, type: 'Note', mode: 0, widgets_values: ['…'] },
  ],
  links: [
    [1, 1, 0, 2, 0, '*'],
    [2, 2, 0, 3, 0, 'IMAGE'],
    [3, 3, 0, 4, 0, 'IMAGE'],
  ],
  version: 0.4,
};

describe('tmlsr', () => {
  const cleanup = new AsyncDisposableStack();
  let folder: string;
  let emulator: Emulator;
  /** Has no model. */
  let poor: Emulator;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tmlsr-cli-'));
    cleanup.defer(() => rm(folder, { recursive: true, force: true }));
    emulator = cleanup.use(await Emulator.start());
    poor = cleanup.use(await Emulator.start({ withoutModels: ['RealESRGAN_x4plus.pth'] }));
    const files = {
      'good.json': upscale,
      'sleep.json': sleepGraph(1),
      'sleep.meta.json': {
        title: 'A pause',
        parameters: {
          pause: { node: '2', field: 'seconds', schema: { maximum: 30 }, default: 2 },
        },
      },
      'editor.json': editorFile,
      'looking.json': {
        ...upscale,
        '5': { class_type: 'PreviewImage', inputs: { images: ['1', 0] } },
      },
      'half.json': '{\n  "1": {"class_type": "LoadIm',
      'astray.json': { ...upscale, '4': { class_type: 'SaveImage', inputs: { images: ['9', 0] } } },
      'misspelt.json': upscale,
      'misspelt.meta.json': { tittle: 'x' },
      'mistaken.json': sleepGraph(1),
      'mistaken.meta.json': {
        parameters: {
          pause: { node: '2', field: 'seconds', schema: { maximum: 30 }, default: 60 },
        },
      },
    };
    for (const [name, content] of Object.entries(files)) await write(name, content);
  });
  after(() => cleanup.disposeAsync());

  async function write(name: string, content: unknown) {
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    await writeFile(join(folder, name), text);
  }

  /** In a folder without settings. */
  async function run(args: readonly string[], how: HowToRun = {}): Promise<Ended> {
    const { env = {}, node = process.execPath, nodeArgs = [], at = program } = how;
    const options = {
      cwd: folder,
      env: { ...bareEnv, ...env },
      timeout: patienceMs,
      killSignal: 'SIGKILL',
      maxBuffer: 64 * 1024 * 1024,
    } as const;
    return await new Promise((resolve) => {
      execFile(node, [...nodeArgs, at, ...args], options, (error, stdout, stderr) => {
        const code = error ? error.code : 0;
        resolve({ code: typeof code === 'number' ? code : null, stdout, stderr });
      });
    });
  }

  function check(...args: readonly string[]): Promise<Ended> {
    return run(['workflows', 'check', ...args]);
  }

  function convert(...args: readonly string[]): Promise<Ended> {
    return run(['workflows', 'convert', ...args]);
  }

  describe('workflows check', () => {
    it('tells what a good file takes and gives, and where it runs', async () => {
      const { code, stdout, stderr } = await check('sleep.json', '--backend', emulator.url);
      assert.deepEqual([code, stderr], [0, '']);
      assert.match(stdout, /^sleep\.json \(image, API format\)$/m);
      assert.match(stdout, /title +A pause/);
      assert.match(stdout, /input +image: image; LoadImage \(node 1\), image/);
      assert.match(stdout, /output +result: image; SaveImage \(node 3\)/);
      const pause =
        /parameter +pause: number from 0 to 30, default 2; EmulatorSleep \(node 2\), seconds/;
      assert.match(stdout, pause);
      assert.match(stdout, /runs on +1 of 1$/m);
      assert.match(stdout, /1 file checked against 1 server: no problems/);
    });

    it('runs on some of the servers, and says why not on the others', async () => {
      const both = await check('good.json', '--backend', emulator.url, '--backend', poor.url);
      assert.equal(both.code, 0, both.stdout);
      assert.match(both.stdout, /runs on +1 of 2$/m);
      const [, reason] = both.stdout.split(`not on ${poor.url}: `);
      assert.match(reason ?? '', /^UpscaleModelLoader \(node 2\).*RealESRGAN_x4plus\.pth/);
      assert.doesNotMatch(both.stdout, new RegExp(`not on ${emulator.url}`));
      const looking = await check('looking.json', '--backend', emulator.url);
      assert.equal(looking.code, 0);
      assert.match(looking.stdout, /^ +note +PreviewImage \(node 5\) is not sent: it only shows/m);
      const none = await check('good.json', '--backend', poor.url);
      assert.equal(none.code, 1);
      assert.match(none.stdout, /runs on +0 of 1$/m);
      assert.match(none.stdout, /problem +No server can run it/);
    });

    it('names the line or the node of what is wrong', async () => {
      const wrongs: [file: string, problem: RegExp][] = [
        ['half.json', /not JSON.*line 2/],
        ['astray.json', /SaveImage \(node 4\).*node 9/],
        ['misspelt.json', /tittle.*"title"/],
        ['mistaken.json', /pause: the default is 60/],
        ['nowhere.json', /There is no such file/],
        ['package.toml', /There is no such file/],
      ];
      const { code, stdout } = await check(
        ...wrongs.map(([file]) => file),
        'good.json',
        '--backend',
        emulator.url,
      );
      assert.equal(code, 1);
      const problems = new Map(stdout.split('\n\n').map((part) => [part.split(/[ \n]/)[0], part]));
      for (const [file, problem] of wrongs) assert.match(problems.get(file) ?? '', problem, file);
      assert.doesNotMatch(problems.get('good.json') ?? '', /problem/);
      assert.match(stdout, /7 files checked against 1 server: 6 with problems/);
    });

    it('checks an editor file as it was saved, and needs a server for that', async () => {
      const told = await check('editor.json', '--backend', emulator.url);
      assert.equal(told.code, 0, told.stdout);
      assert.match(told.stdout, /^editor\.json \(image, editor format\)$/m);
      assert.match(told.stdout, /LoadImage \(node 1, "加载图像"\)/);
      assert.match(told.stdout, /parameter +pause: number from 0 to 86400, default 0\.5;/);
      const untold = await check('editor.json');
      assert.equal(untold.code, 1);
      assert.match(untold.stdout, /problem .*--backend/);
    });

    it('checks without a server what can be checked, and says so', async () => {
      const good = await check('good.json');
      assert.equal(good.code, 0, good.stdout);
      assert.match(good.stdout, /runs on +not known/);
      assert.match(good.stdout, /No server was asked.*--backend/s);
      assert.equal((await check('astray.json')).code, 1);
    });

    it('names a server that does not answer, without its password', async () => {
      const unused = createServer().listen(0, '127.0.0.1');
      await once(unused, 'listening');
      const { port } = unused.address() as { port: number };
      unused.close();
      await once(unused, 'close');
      const url = `http://somebody:secret@127.0.0.1:${port}`;
      const alone = await check('good.json', 'editor.json', '--backend', url);
      assert.equal(alone.code, 1);
      const fault = new RegExp(`server +http://127\\.0\\.0\\.1:${port}: .*ECONNREFUSED`);
      assert.match(alone.stdout, fault);
      assert.doesNotMatch(alone.stdout + alone.stderr, /secret/);
      const beside = await check('editor.json', '--backend', url, '--backend', emulator.url);
      assert.equal(beside.code, 1);
      assert.match(beside.stdout, fault);
      assert.match(beside.stdout, /runs on +1 of 2$/m);
      const odd = await check('good.json', '--backend', `${emulator.url}/queue`);
      assert.equal(odd.code, 1);
      assert.match(odd.stdout, /could not list its nodes: status 404/);
    });

    it('takes the settings where nothing is named', async () => {
      const workflows = join(folder, 'kept');
      await mkdir(workflows);
      for (const name of ['good.json', 'sleep.json', 'sleep.meta.json']) {
        await copyFile(join(folder, name), join(workflows, name));
      }
      const env = { WORKFLOWS_DIR: 'kept', COMFYUI_BACKENDS: `${emulator.url},${poor.url}` };
      const { code, stdout } = await run(['workflows', 'check'], { env });
      assert.equal(code, 0, stdout);
      assert.deepEqual([...stdout.matchAll(/^\S+\.json/gm)].map(String), [
        join('kept', 'good.json'),
        join('kept', 'sleep.json'),
      ]);
      assert.match(stdout, /2 files checked against 2 servers/);
      const shipped = await run(['workflows', 'check', '--backend', emulator.url]);
      assert.match(shipped.stdout, /esrgan_image_2x\.json/);
      const missing = await run(['workflows', 'check'], { env: { WORKFLOWS_DIR: 'nowhere' } });
      assert.equal(missing.code, 1);
      assert.match(missing.stderr, /WORKFLOWS_DIR .*nowhere cannot be read/);
    });

    it('takes both files of a workflow for one, and a folder for all that it holds', async () => {
      const { stdout } = await check('sleep.json', 'sleep.meta.json', './sleep.json');
      assert.match(stdout, /^1 file: no problems$/m);
      const several = await mkdtemp(join(folder, 'several-'));
      for (const name of ['good.json', 'sleep.json', 'sleep.meta.json', 'half.json']) {
        await copyFile(join(folder, name), join(several, name));
      }
      assert.match((await check(several)).stdout, /^3 files: 1 with problems$/m);
      await mkdir(join(folder, 'empty'));
      assert.equal((await check('empty')).code, 1);
    });

    it('prints JSON for programs', async () => {
      const args = ['sleep.json', 'half.json', 'good.json', '--json', '--backend', poor.url];
      const { code, stdout } = await check(...args);
      assert.equal(code, 1);
      const { ok, servers, workflows } = JSON.parse(stdout);
      assert.equal(ok, false);
      assert.equal(servers[0].server, poor.url);
      assert.equal(servers[0].problem, null);
      assert.ok(servers[0].node_classes > 10);
      const [sleep, half, good] = workflows;
      assert.deepEqual([sleep.name, sleep.format, sleep.problems], ['sleep', 'api', []]);
      assert.deepEqual([sleep.runs_on, sleep.of, sleep.why_not], [1, 1, {}]);
      assert.match(sleep.hash, /^[0-9a-f]{64}$/);
      assert.deepEqual(sleep.parameters.properties.pause, {
        type: 'number',
        minimum: 0,
        maximum: 30,
        default: 2,
      });
      assert.deepEqual(sleep.bindings, { pause: [{ node: '2', field: 'seconds' }] });
      assert.deepEqual(
        sleep.inputs.map((input: { name: string; node: string }) => [input.name, input.node]),
        [['image', '1']],
      );
      assert.deepEqual(sleep.outputs, [
        { name: 'result', type: 'image', content_types: ['image/png'], node: '3' },
      ]);
      assert.deepEqual([half.hash, half.format, half.runs_on], [null, null, 0]);
      assert.match(half.problems[0], /line 2/);
      assert.equal(good.runs_on, 0);
      assert.match(good.why_not[poor.url][0], /RealESRGAN_x4plus\.pth/);
    });

    it('takes a saved /object_info for a server', async () => {
      const { body } = await request(`${emulator.url}/object_info`);
      await writeFile(join(folder, 'nodes.txt'), Buffer.from(await body.arrayBuffer()));
      const told = await check('editor.json', 'good.json', '--object-info', 'nodes.txt');
      assert.equal(told.code, 0, told.stdout);
      assert.match(told.stdout, /server +nodes\.txt: \d+ node classes/);
      for (const file of ['good.json', 'editor.json', 'half.json', 'nowhere.json']) {
        const { code, stdout } = await check('good.json', '--object-info', file);
        assert.equal(code, 1, file);
        assert.match(stdout, /0 of 1/, file);
      }
    });

    it('tells what the version of a server gets wrong of clips that a workflow takes', async () => {
      await write('clip.json', clipGraph);
      const files = ['clip.json', 'good.json', '--object-info', 'nodes.txt'];
      const { code, stdout } = await check(...files, '--comfyui', '0.20.1');
      assert.equal(code, 0, stdout);
      assert.match(stdout, /server +nodes\.txt: \d+ node classes, ComfyUI 0\.20\.1$/m);
      assert.match(
        stdout,
        /clips +nodes\.txt does not turn clips upright \(mended in 0\.21\.0\)$/m,
      );
      assert.doesNotMatch(stdout, /as 8/);
      const told = await check(...files, '--comfyui', '0.20.1', '--json');
      const { servers, workflows } = JSON.parse(told.stdout);
      assert.equal(servers[0].version, '0.20.1');
      assert.ok(servers[0].gets_wrong.length > 0);
      const [clip, good] = workflows;
      assert.ok(
        clip.gets_wrong['nodes.txt'].includes('does not turn clips upright (mended in 0.21.0)'),
      );
      assert.deepEqual(good.gets_wrong, {});
      const running = await check('clip.json', '--backend', emulator.url);
      assert.match(running.stdout, /node classes, ComfyUI 0\.33\.0/);
      assert.doesNotMatch(running.stdout, /clips {6}/);
    });
  });

  describe('workflows convert', () => {
    it('prints the prompt that the editor would send, and nothing else', async () => {
      const { code, stdout, stderr } = await convert('editor.json', '--backend', emulator.url);
      assert.deepEqual([code, stderr], [0, '']);
      const prompt = JSON.parse(stdout);
      assert.equal(stdout, `${JSON.stringify(prompt, null, 2)}\n`);
      assert.deepEqual(Object.keys(prompt), ['1', '3', '4']);
      assert.deepEqual(prompt['3'].inputs.image, ['1', 0]);
      assert.equal(prompt['3'].inputs.seconds, 0.5);
      await write('converted.json', stdout);
      assert.equal((await check('converted.json', '--backend', emulator.url)).code, 0);
      assert.deepEqual(JSON.parse((await convert('converted.json')).stdout), prompt);
    });

    it('prints why it cannot on the error output', async () => {
      const unknown = { ...editorFile.nodes[2], type: 'NoSuchNode', title: 'Mine' };
      const nodes = editorFile.nodes.map((node) => (node.id === 3 ? unknown : node));
      await write('unknown.json', { ...editorFile, nodes });
      const wrongs: [args: string[], problem: RegExp][] = [
        [['half.json'], /half\.json: .*line 2/],
        [['nowhere.json'], /nowhere\.json: there is no such file/],
        [['editor.json'], /editor\.json: .*--backend/],
        [['unknown.json', '--backend', emulator.url], /Mine.*NoSuchNode/],
        [['editor.json', '--backend', `${emulator.url}/queue`], /status 404/],
      ];
      for (const [args, problem] of wrongs) {
        const { code, stdout, stderr } = await convert(...args);
        assert.deepEqual([code, stdout], [1, ''], args[0]);
        assert.match(stderr, problem);
        assert.doesNotMatch(stderr, /\n {4}at /);
      }
    });
  });

  it('says what is wrong with a call, and where to read how it goes', async () => {
    const wrongs: [args: string[], problem: RegExp][] = [
      [[], /a command is missing/],
      [['wrokflows'], /"wrokflows"; did you mean "workflows"/],
      [['workflows'], /a command is missing: check, convert/],
      [['workflows', 'constructor'], /no command "constructor"/],
      [['workflows', 'check', '--bakend', 'x'], /no option --bakend; did you mean "--backend"/],
      [['workflows', 'check', '--backend'], /--backend needs a value/],
      [['workflows', 'check', '--backend', 'here:8188'], /--backend: a backend is given as/],
      [['workflows', 'convert'], /takes one FILE/],
      [['workflows', 'convert', 'good.json', 'sleep.json'], /takes one FILE/],
      [['serve', '--port', '80'], /no option --port/],
      [['demo', '--inptu', 'x'], /no option --inptu; did you mean "--input"/],
    ];
    const ended = await Promise.all(wrongs.map(([args]) => run(args)));
    for (const [index, { code, stdout, stderr }] of ended.entries()) {
      const [args = [], problem = /./] = wrongs[index] ?? [];
      assert.deepEqual([code, stdout], [2, ''], args.join(' '));
      assert.match(stderr, problem);
      assert.match(stderr, /See tmlsr.* --help\n$/);
    }
  });

  it('says how it is called, and which version it is', async () => {
    const calls = [
      [],
      ['workflows'],
      ['workflows', 'check'],
      ['workflows', 'convert'],
      ['serve'],
      ['keys'],
    ];
    for (const args of calls) {
      const { code, stdout } = await run([...args, '--help']);
      assert.equal(code, 0, args.join(' '));
      assert.match(stdout, new RegExp(`^  ${['tmlsr', ...args].join(' ')}`, 'm'));
      assert.deepEqual(await run(['help', ...args]), { code, stdout, stderr: '' });
    }
    assert.deepEqual(
      await run(['keys', 'help', 'create']),
      await run(['keys', 'create', '--help']),
    );
    assert.match((await run(['help', 'sevre'])).stderr, /no command "sevre"; did you mean "serve"/);
    assert.match((await run(['demo', '--help'])).stdout, /--once/);
    assert.equal((await run(['--version'])).stdout, `${packageJson.version}\n`);
  });

  describe('under an older Node', () => {
    it('passes everything on to the Node that npm installed', async () => {
      const real = await olderNodeOfPath();
      for (const older of [{ nodeArgs: asOldNode }, ...(real === null ? [] : [{ node: real }])]) {
        const good = await run(['workflows', 'check', 'good.json', '--json'], older);
        assert.deepEqual([good.code, good.stderr], [0, '']);
        assert.equal(JSON.parse(good.stdout).workflows[0].name, 'good');
        assert.equal((await run(['workflows', 'check', 'half.json'], older)).code, 1);
        const wrong = await run(['workflows', 'check', '--nope'], older);
        assert.equal(wrong.code, 2);
        assert.match(wrong.stderr, /no option --nope/);
      }
    });

    it('passes signals on, and waits until the service has stopped', async () => {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        const { code, events, stderr } = await serveUntilStarted(signal);
        assert.equal(code, 0, `${signal}: ${stderr}`);
        assert.ok(events.includes('gateway.stopping'), signal);
      }
    });

    it('is what npm start runs, and says in a sentence what keeps it from starting', async () => {
      assert.match(packageJson.scripts.start, / bin\/tmlsr\.js serve$/);
      const env = { DATA_DIR: join(folder, 'data'), WORKFLOWS_DIR: 'nowhere' };
      const { code, stderr } = await run(['serve'], { env });
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^The settings are wrong:\n {2}WORKFLOWS_DIR: .+ does not exist[^\n]+\n$/,
      );
    });

    it('says that it needs a newer one where npm installed none', async () => {
      const elsewhere = join(folder, 'elsewhere');
      await mkdir(elsewhere);
      const at = join(elsewhere, 'tmlsr.mjs');
      await copyFile(program, at);
      const { code, stderr } = await run(['--version'], { nodeArgs: asOldNode, at });
      assert.equal(code, 1);
      assert.match(stderr, /needs Node 24 or newer.*npm ci/);
    });
  });

  /** Without a terminal, from which Ctrl-C would reach both processes by itself. */
  async function serveUntilStarted(signal: NodeJS.Signals) {
    const dataDir = join(folder, 'data');
    await gatewayDatabase({ engine: 'pglite' }, dataDir, cleanup);
    const child = spawn(process.execPath, [...asOldNode, program, 'serve'], {
      cwd: folder,
      env: {
        ...bareEnv,
        PORT: '0',
        DATA_DIR: dataDir,
        COMFYUI_BACKENDS: emulator.url,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    // With the service that it started: a process group of their own.
    const tooLate = setTimeout(() => process.kill(-(child.pid as number), 'SIGKILL'), patienceMs);
    const events: string[] = [];
    let stderr = '';
    child.stderr.on('data', (text) => {
      stderr += text;
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { msg } = JSON.parse(line);
      events.push(msg);
      if (msg === 'gateway.started') child.kill(signal);
    });
    const [code] = await once(child, 'close');
    clearTimeout(tooLate);
    return { code, events, stderr };
  }
});

/** One that is on the PATH, as in a clone on a machine of its own; there may be none. */
async function olderNodeOfPath(): Promise<string | null> {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  for (const path of (process.env.PATH ?? '').split(delimiter)) {
    const node = join(path, `node${suffix}`);
    const { stdout } = await promisify(execFile)(node, ['-p', 'process.versions.node'], {
      timeout: patienceMs,
    }).catch(() => ({ stdout: '' }));
    if (Number.parseInt(stdout, 10) < 24) return node;
  }
  return null;
}
