/** Nodes that live in the browser only, of the editor itself and of widespread packs of custom nodes. */

export const primitive = 'PrimitiveNode';

/** What arrives at an input leaves at the output of the same number. */
const passThrough: ReadonlySet<string> = new Set([
  'Reroute',
  'Reroute (rgthree)',
  'SetNode',
  'easy setNode',
]);

/** A getter carries what arrives at the setter of the same name. */
const setterOf: ReadonlyMap<string, string> = new Map([
  ['GetNode', 'SetNode'],
  ['easy getNode', 'easy setNode'],
]);

const onlyShown: ReadonlySet<string> = new Set([
  'Note',
  'MarkdownNote',
  'Note _O',
  'Note Plus (mtb)',
  'Label (rgthree)',
  'Bookmark (rgthree)',
  'Fast Muter (rgthree)',
  'Fast Bypasser (rgthree)',
  'Fast Groups Muter (rgthree)',
  'Fast Groups Bypasser (rgthree)',
  'Fast Actions Button (rgthree)',
  'Mute / Bypass Relay (rgthree)',
  'Mute / Bypass Repeater (rgthree)',
  'Random Unmuter (rgthree)',
  'Node Collector (rgthree)',
  // Chooses a file in the browser and writes it into the widget that it is linked to.
  'VHS_SelectLatest',
]);

export function isVirtual(type: string): boolean {
  return type === primitive || passThrough.has(type) || setterOf.has(type) || onlyShown.has(type);
}

export function passesThrough(type: string): boolean {
  return passThrough.has(type);
}

/** The type of the nodes that a getter looks for; `undefined` for what is none. */
export function setterType(type: string): string | undefined {
  return setterOf.get(type);
}

/** They link inputs that nobody sees linked: by type, by name, by place. */
export function linksUnseen(type: string): boolean {
  return /^(Anything Everywhere[?3]?|Prompts Everywhere|Seed Everywhere)$/.test(type);
}

/** A forerunner of subgraphs, which newer editors turn into one on loading. */
export function isGroupNode(type: string): boolean {
  return /^workflow[>/]/.test(type);
}

/** Their values come into being in the browser: a rendered scene, a camera's picture, a recording. */
export function isMadeInBrowser(type: string): boolean {
  return ['Load3D', 'Load3DAdvanced', 'WebcamCapture', 'RecordAudio'].includes(type);
}

/** Subgraphs have such ids for types. */
export function isSubgraphType(type: string): boolean {
  return /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(type);
}
