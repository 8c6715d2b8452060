import { adaptations, shortcomings } from '../../core/capabilities.ts';
import { clipUse } from '../../core/clip-use.ts';
import { GatewayError } from '../../core/errors.ts';
import type { NodeCatalogue } from '../../core/node-catalogue.ts';
import { parametersSchema } from '../../core/parameters.ts';
import { faultWords, graphFaults } from '../../core/server-faults.ts';
import type { Workflow } from '../../core/workflow.ts';
import { type ParsedFile, parseFile, toWorkflow } from '../../workflows/parse.ts';
import { readArguments } from '../arguments.ts';
import { type FoundFile, findWorkflows } from './files.ts';
import { type CheckedFile, isGood, presentReport, type Report, writeReport } from './report.ts';
import {
  askServers,
  catalogueOf,
  isKnown,
  type Server,
  serverOptions,
  serverUsage,
} from './servers.ts';

const command = 'tmlsr workflows check';

const usage = `Says what workflow files take and give, where they run, what is wrong with them, and what servers get wrong.

  ${command} [FILE…] [--backend URL]… [--object-info FILE]… [--comfyui VERSION] [--json]

  FILE                NAME.json in either of ComfyUI's formats, read with the NAME.meta.json beside it;
                      or a folder of them. Without one, the folder of the setting WORKFLOWS_DIR
${serverUsage}.
                      Without any server, not everything can be checked
  --comfyui VERSION   the version of ComfyUI where the files of --object-info were saved, such as 0.33.0
  --json              prints a JSON document

It exits with 0 when every file is good and runs on some server, with 1 when there is a problem, and with
2 when it is called wrongly.`;

/**
 * `tmlsr workflows check`
 *
 * @throws UsageError, ConfigError
 */
export async function checkCommand(args: readonly string[]): Promise<void> {
  const { values: options, positionals: paths } = readArguments(command, {
    args: [...args],
    allowPositionals: true,
    options: {
      ...serverOptions,
      comfyui: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (options.help) {
    console.log(usage);
    return;
  }
  const asked = askServers(command, options, options.comfyui ?? null);
  const [servers, found] = await Promise.all([asked, findWorkflows(paths)]);
  const catalogue = catalogueOf(servers);
  const files: CheckedFile[] = [];
  for (const file of found) files.push(await checkFile(file, servers, catalogue));
  const report: Report = { servers, files };
  console.log(options.json ? JSON.stringify(presentReport(report), null, 2) : writeReport(report));
  if (!isGood(report)) process.exitCode = 1;
}

async function checkFile(
  { path, name, read }: FoundFile,
  servers: readonly Server[],
  catalogue: NodeCatalogue | null,
): Promise<CheckedFile> {
  let parsed: ParsedFile | null = null;
  try {
    parsed = parseFile(await read());
    const workflow = toWorkflow(parsed, catalogue);
    const known = servers.filter(isKnown);
    const whyNot = new Map(
      known.map((server) => [server.label, shortcomings(workflow, server.catalogue)]),
    );
    const notes = new Map(
      known.map((server) => [server.label, adaptations(workflow, server.catalogue)]),
    );
    return {
      path,
      name,
      format: parsed.format,
      workflow,
      parameters: parametersSchema(workflow, catalogue),
      whyNot,
      getsWrong: new Map(
        servers
          .filter(isKnown)
          .map(({ label, version }) => [label, clipFaults(workflow, version)] as const)
          .filter(([, faults]) => faults.length > 0),
      ),
      notes,
      problems: runsNowhere(whyNot),
    };
  } catch (error) {
    const format = parsed?.format ?? null;
    const byServer = { whyNot: new Map(), getsWrong: new Map(), notes: new Map() };
    const nothing = { workflow: null, parameters: null, ...byServer };
    return { path, name, format, ...nothing, problems: [describeFault(error)] };
  }
}

/** What ComfyUI of this version gets wrong of clips that the workflow takes. */
function clipFaults(workflow: Workflow, version: string | null): string[] {
  const faults = workflow.inputs.flatMap(({ slot }) =>
    graphFaults(version, clipUse(workflow, slot)).map(faultWords),
  );
  return [...new Set(faults)];
}

function runsNowhere(whyNot: ReadonlyMap<string, readonly string[]>): string[] {
  const isAble = [...whyNot.values()].some((reasons) => reasons.length === 0);
  return whyNot.size === 0 || isAble ? [] : ['No server can run it'];
}

/** @throws what is no fault of the file. */
function describeFault(error: unknown): string {
  if (error instanceof GatewayError) {
    return error.code === 'workflow_unavailable' ? needsServer : error.message;
  }
  if (error instanceof Error && 'syscall' in error && 'code' in error) {
    return `It cannot be read (${error.code})`;
  }
  throw error;
}

const needsServer =
  'It is in the format of the editor, and only a server knows what its nodes mean: ' +
  'name one with --backend URL or --object-info FILE';
