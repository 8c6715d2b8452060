import { readFile } from 'node:fs/promises';
import { GatewayError } from '../../core/errors.ts';
import type { Graph } from '../../core/graph.ts';
import type { NodeCatalogue } from '../../core/node-catalogue.ts';
import { convertEditorGraph } from '../../workflows/editor/convert.ts';
import { parseFile } from '../../workflows/parse.ts';
import { readArguments, UsageError } from '../arguments.ts';
import { printable } from '../printable.ts';
import { askServers, catalogueOf, isKnown, serverOptions, serverUsage } from './servers.ts';

const command = 'tmlsr workflows convert';

const usage = `Prints the prompt, in API format, that ComfyUI's editor would send for a file that it saved.

  ${command} FILE [--backend URL]… [--object-info FILE]…

  FILE                a workflow as the editor saves it; one in API format is printed as it is
${serverUsage}.
                      Of several, each may know other nodes

Nothing else goes to standard output. It exits with 1 when the file cannot be converted, and with 2 when it
is called wrongly.`;

/**
 * `tmlsr workflows convert`
 *
 * @throws UsageError, ConfigError; GatewayError telling what to mend.
 */
export async function convertCommand(args: readonly string[]): Promise<void> {
  const { values: options, positionals } = readArguments(command, {
    args: [...args],
    allowPositionals: true,
    options: { ...serverOptions, help: { type: 'boolean', short: 'h', default: false } },
  });
  if (options.help) {
    console.log(usage);
    return;
  }
  const [path, ...others] = positionals;
  if (path === undefined || others.length > 0) {
    throw new UsageError(command, `it takes one FILE, not ${positionals.length}`);
  }
  const text = await readText(path);
  const servers = await askServers(command, options);
  for (const server of servers) {
    if (!isKnown(server)) console.error(`${server.label}: ${server.problem}`);
  }
  console.log(JSON.stringify(convert(path, text, catalogueOf(servers)), null, 2));
}

/** @throws GatewayError `workflow_invalid` */
function convert(path: string, text: string, catalogue: NodeCatalogue | null): Graph {
  try {
    const parsed = parseFile({ name: path, text, meta: null });
    if (parsed.format === 'api') return parsed.graph;
    if (catalogue) return convertEditorGraph(parsed.file, catalogue).graph;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    throw unable(path, error.message);
  }
  throw unable(
    path,
    'only a server knows what its nodes mean: name one with --backend URL or --object-info FILE',
  );
}

async function readText(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(({ code }: NodeJS.ErrnoException) => {
    throw unable(path, code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`);
  });
}

function unable(path: string, reason: string): GatewayError {
  return new GatewayError('workflow_invalid', printable(`${path}: ${reason}`));
}
