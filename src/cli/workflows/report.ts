import type { JsonSchema } from '../../core/json-schema.ts';
import { labelOf } from '../../core/node-label.ts';
import { faultWords, versionFaults } from '../../core/server-faults.ts';
import type { Parameter, Workflow } from '../../core/workflow.ts';
import { presentWorkflow } from '../../workflows/present.ts';
import { printable } from '../printable.ts';
import { isKnown, type Server } from './servers.ts';

/** What `tmlsr workflows check` has found. */
export interface Report {
  readonly servers: readonly Server[];
  readonly files: readonly CheckedFile[];
}

export interface CheckedFile {
  readonly path: string;
  readonly name: string;
  /** `null` for a file that is in neither format. */
  readonly format: 'api' | 'editor' | null;
  readonly workflow: Workflow | null;
  /** The JSON Schema of the values that a task may choose. */
  readonly parameters: JsonSchema | null;
  /** By each server whose nodes are known, why it cannot run the workflow; nothing where it can. */
  readonly whyNot: ReadonlyMap<string, readonly string[]>;
  /** By each server that gets something wrong of clips which the workflow takes, what. */
  readonly getsWrong: ReadonlyMap<string, readonly string[]>;
  /** By each such server, what the gateway changes in the graph for it. */
  readonly notes: ReadonlyMap<string, readonly string[]>;
  readonly problems: readonly string[];
}

export function isGood({ servers, files }: Report): boolean {
  return servers.every(isKnown) && files.every(({ problems }) => problems.length === 0);
}

/** For programs. A workflow's fields are called as in `GET /workflows`. */
export function presentReport(report: Report): object {
  return {
    ok: isGood(report),
    servers: report.servers.map(({ label, catalogue, version, problem }) => ({
      server: label,
      version,
      node_classes: catalogue?.size ?? null,
      gets_wrong: versionFaults(version).map(faultWords),
      problem,
    })),
    workflows: report.files.map((file) => presentFile(file, report.servers)),
  };
}

function presentFile(
  { path, name, format, workflow, parameters, whyNot, getsWrong, notes, problems }: CheckedFile,
  servers: readonly Server[],
): object {
  return {
    file: path,
    name,
    format,
    problems,
    ...presentWorkflow(workflow),
    parameters,
    runs_on: countAble(whyNot),
    of: servers.length,
    why_not: tellingOnly(whyNot),
    gets_wrong: Object.fromEntries(getsWrong),
    notes: tellingOnly(notes),
  };
}

function tellingOnly(sentences: ReadonlyMap<string, readonly string[]>): object {
  return Object.fromEntries([...sentences].filter(([, of]) => of.length > 0));
}

/** For people. */
export function writeReport(report: Report): string {
  const { servers, files } = report;
  const sections = [
    servers.map(describeServer),
    ...files.map((file) => describeFile(file, servers)),
    summary(report),
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map(printable).join('\n'))
    .join('\n\n');
}

function describeServer({ label, catalogue, version, problem }: Server): string {
  const comfyui = version === null ? '' : `, ComfyUI ${version}`;
  return row('server', `${label}: ${problem ?? `${catalogue?.size} node classes${comfyui}`}`);
}

function describeFile(
  { path, format, workflow, parameters, whyNot, getsWrong, notes, problems }: CheckedFile,
  servers: readonly Server[],
): string[] {
  const about = [
    ...(workflow ? [workflow.kind] : []),
    ...(format ? [`${format === 'api' ? 'API' : 'editor'} format`] : []),
    ...(workflow?.scale ? [`scale ${workflow.scale}`] : []),
  ];
  return [
    about.length === 0 ? path : `${path} (${about.join(', ')})`,
    ...(workflow ? describeBindings(workflow, parameters) : []),
    ...(workflow ? describeFitness(whyNot, servers) : []),
    ...[...getsWrong]
      .flatMap(([label, faults]) => faults.map((fault) => `${label} ${fault}`))
      .map((fault, index) => indented(index === 0 ? 'clips' : '', fault)),
    ...describeNotes(notes),
    ...problems.map((problem) => indented('problem', problem)),
  ];
}

function describeBindings(workflow: Workflow, parameters: JsonSchema | null): string[] {
  const { graph } = workflow;
  const place = ({ node, field }: { node: string; field?: string }) => {
    const known = graph[node];
    const label = known ? labelOf(node, known) : `node ${node}`;
    return field === undefined ? label : `${label}, ${field}`;
  };
  const schemas = (parameters?.properties ?? {}) as Readonly<Record<string, JsonSchema>>;
  return [
    ...(workflow.title === null ? [] : [indented('title', workflow.title)]),
    ...(workflow.aliases.length === 0 ? [] : [indented('aliases', workflow.aliases.join(', '))]),
    ...workflow.inputs.map(({ name, kind, slot, isRequired }) =>
      indented('input', `${name}: ${kind}${isRequired ? '' : ', may be left out'}; ${place(slot)}`),
    ),
    ...workflow.outputs.map(({ name, kind, node }) =>
      indented('output', `${name}: ${kind}; ${place({ node })}`),
    ),
    ...workflow.parameters.map((parameter) => {
      const places = parameter.slots.map(place).join('; ');
      const values = describeValues(parameter, schemas[parameter.name] ?? {});
      return indented('parameter', `${parameter.name}: ${values}; ${places}`);
    }),
  ];
}

/** What is not told of a schema in words of its own is told as it stands there. */
function describeValues({ isSeed, default: usual }: Parameter, schema: JsonSchema): string {
  const {
    description: _,
    default: __,
    type,
    enum: choices,
    minimum,
    maximum,
    ...rest
  } = isSeed && Array.isArray(schema.anyOf) ? (schema.anyOf[0] as JsonSchema) : schema;
  const limits = [
    ...(minimum === undefined ? [] : [`from ${minimum}`]),
    ...(maximum === undefined ? [] : [`to ${maximum}`]),
  ];
  return [
    [...(type === undefined ? [] : [[type].flat().join(' or ')]), ...limits].join(' '),
    Array.isArray(choices) ? describeChoices(choices) : '',
    ...Object.entries(rest).map(([key, value]) => `${key} ${JSON.stringify(value)}`),
    isSeed ? 'or "random"' : '',
    usual === undefined ? 'no common default' : `default ${JSON.stringify(usual)}`,
  ]
    .filter((part) => part !== '')
    .join(', ');
}

const maxChoices = 8;

function describeChoices(choices: readonly unknown[]): string {
  const shown = choices.slice(0, maxChoices).map((choice) => JSON.stringify(choice));
  const hidden = choices.length - shown.length;
  return `one of ${shown.join(' ')}${hidden > 0 ? ` and ${hidden} more` : ''}`;
}

function describeFitness(
  whyNot: ReadonlyMap<string, readonly string[]>,
  servers: readonly Server[],
): string[] {
  if (servers.length === 0) return [indented('runs on', 'not known without a server')];
  return [
    indented('runs on', `${countAble(whyNot)} of ${servers.length}`),
    ...servers.flatMap((server) =>
      isKnown(server)
        ? (whyNot.get(server.label) ?? []).map((reason) =>
            indented('', `not on ${server.label}: ${reason}`),
          )
        : indented('', `not known of ${server.label}`),
    ),
  ];
}

/** What holds for every server is told once. */
function describeNotes(notes: ReadonlyMap<string, readonly string[]>): string[] {
  const [first = [], ...others] = notes.values();
  const common = first.filter((note) => others.every((each) => each.includes(note)));
  return [
    ...common.map((note) => indented('note', note)),
    ...[...notes].flatMap(([label, each]) =>
      each
        .filter((note) => !common.includes(note))
        .map((note) => indented('note', `on ${label}: ${note}`)),
    ),
  ];
}

function summary({ servers, files }: Report): string[] {
  const bad = files.filter(({ problems }) => problems.length > 0).length;
  const silent = servers.filter((server) => !isKnown(server)).length;
  const against =
    servers.length === 0 ? '' : ` checked against ${counted(servers.length, 'server')}`;
  return [
    `${counted(files.length, 'file')}${against}: ${bad === 0 ? 'no problems' : `${bad} with problems`}`,
    ...(silent === 0 ? [] : [`${counted(silent, 'server')} did not tell what nodes there are`]),
    ...(servers.length === 0 ? withoutServer : []),
  ];
}

const withoutServer = [
  'No server was asked, so it is not known whether one has these nodes and models and takes these values.',
  'Name one with --backend URL, --object-info FILE or the setting COMFYUI_BACKENDS.',
];

function countAble(whyNot: ReadonlyMap<string, readonly string[]>): number {
  return [...whyNot.values()].filter((reasons) => reasons.length === 0).length;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function indented(name: string, text: string): string {
  return `  ${row(name, text)}`;
}

function row(name: string, text: string): string {
  return `${name.padEnd(9)}  ${text}`;
}
