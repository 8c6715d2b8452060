/** The node classes that this server offers, as `/object_info` describes them. */
import { readdirSync, readFileSync } from 'node:fs';
import { type Folders, listFiles } from './folders.ts';
import type { Loaders } from './loaders/loaders.ts';

export type InputSpec = readonly [type: string | readonly unknown[], options?: InputOptions];
export type InputOptions = { readonly min?: number; readonly max?: number } & Record<
  string,
  unknown
>;

export interface ClassInfo {
  readonly name: string;
  readonly input: {
    readonly required?: Readonly<Record<string, InputSpec>>;
    readonly optional?: Readonly<Record<string, InputSpec>>;
    readonly hidden?: Readonly<Record<string, unknown>>;
  };
  readonly output: readonly string[];
  readonly output_is_list: readonly boolean[];
  readonly output_name: readonly string[];
  readonly output_node: boolean;
}

const folder = new URL('./object-info/', import.meta.url);

/** Every class that can be offered. */
export const classes: ReadonlyMap<string, ClassInfo> = new Map(
  readdirSync(folder)
    .toSorted()
    .map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as ClassInfo)
    .map((info) => [info.name, info]),
);

/** A class may see its own node id: then the id is part of its cache key. */
export function wantsUniqueId(info: ClassInfo): boolean {
  return Object.values(info.input.hidden ?? {}).some((type) => [type].flat().includes('UNIQUE_ID'));
}

export interface CatalogOptions {
  readonly withoutNodes?: readonly string[];
  readonly withoutModels?: readonly string[];
  /** Other names under which this server has models, by their usual ones. */
  readonly renamedModels?: Readonly<Record<string, string>>;
  readonly loaders?: Loaders;
}

/** What one server offers. */
export class Catalog {
  readonly classes: ReadonlyMap<string, ClassInfo>;
  readonly checksNewCombos: boolean;

  constructor({
    withoutNodes = [],
    withoutModels = [],
    renamedModels = {},
    loaders,
  }: CatalogOptions = {}) {
    this.checksNewCombos = loaders !== '0.3.64';
    const offered = [...classes].filter(([name]) => !withoutNodes.includes(name));
    const named = (choices: readonly unknown[]) =>
      choices
        .filter((each) => !withoutModels.includes(String(each)))
        .map((each) => renamedModels[String(each)] ?? each);
    this.classes = new Map(
      offered.map(([name, info]) => {
        const known = withChoices(info, named);
        return [name, loaders === '0.3.64' ? withoutLaterParts(known) : known];
      }),
    );
  }

  /** The files of a model folder, or `null` where there is no such folder. */
  modelsIn(name: string): readonly string[] | null {
    if (!modelFolders.includes(name)) return null;
    if (name === 'upscale_models') return this.optionsOf('UpscaleModelLoader', 'model_name');
    if (name === 'seedvr2') {
      return [
        ...this.optionsOf('SeedVR2LoadDiTModel', 'model'),
        ...this.optionsOf('SeedVR2LoadVAEModel', 'model'),
      ];
    }
    // Loaders of the old kind name their files in place of a type.
    if (name === 'diffusion_models') return this.#filesOf('UNETLoader', 'unet_name');
    if (name === 'vae') return this.#filesOf('VAELoader', 'vae_name');
    return [];
  }

  #filesOf(className: string, input: string): readonly string[] {
    const [choices] = this.classes.get(className)?.input.required?.[input] ?? [];
    return Array.isArray(choices) ? choices.filter((each) => String(each).includes('.')) : [];
  }

  /** The choices of a combo that was declared the new way (`["COMBO", {options}]`). */
  optionsOf(className: string, input: string): readonly string[] {
    const spec = this.classes.get(className)?.input;
    const options = (spec?.required?.[input] ?? spec?.optional?.[input])?.[1]?.options;
    return Array.isArray(options) ? options : [];
  }
}

/** What a newer version requires of classes that an older one has, too. */
const laterInputs: Readonly<Record<string, readonly string[]>> = {
  ImageScaleToTotalPixels: ['resolution_steps'],
};

/** What passes on the pictures that it saves, in a newer version alone. */
const laterOutputs: ReadonlySet<string> = new Set(['PreviewImage', 'SaveImage']);

function withoutLaterParts(info: ClassInfo): ClassInfo {
  if (laterOutputs.has(info.name)) {
    return { ...info, output: [], output_is_list: [], output_name: [] };
  }
  const later = laterInputs[info.name] ?? [];
  const required = Object.entries(info.input.required ?? {}).filter(([id]) => !later.includes(id));
  return later.length === 0
    ? info
    : { ...info, input: { ...info.input, required: Object.fromEntries(required) } };
}

/** Changes the choices of every combo, of the old kind and of the new. */
function withChoices(
  info: ClassInfo,
  kept: (list: readonly unknown[]) => readonly unknown[],
): ClassInfo {
  const narrowed = ([type, options]: InputSpec): InputSpec => {
    const ofType = typeof type === 'string' ? type : kept(type);
    if (options === undefined) return [ofType];
    if (!Array.isArray(options.options)) return [ofType, options];
    return [ofType, { ...options, options: kept(options.options) }];
  };
  const narrow = (specs: Readonly<Record<string, InputSpec>>) =>
    Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, narrowed(spec)]));
  const { required, optional } = info.input;
  const input = {
    ...info.input,
    ...(required ? { required: narrow(required) } : {}),
    ...(optional ? { optional: narrow(optional) } : {}),
  };
  return { ...info, input };
}

/** The loaders' combos list what lies in the input folder at this moment. */
export async function describeClass(info: ClassInfo, folders: Folders): Promise<ClassInfo> {
  const list = async (pattern: RegExp) =>
    (await listFiles(folders.input)).filter((name) => pattern.test(name)).toSorted();
  if (info.name === 'LoadImage') {
    return withRequired(info, { image: [await list(imageName), { image_upload: true }] });
  }
  if (info.name === 'LoadVideo') {
    const options = { multiselect: false, options: await list(videoName), video_upload: true };
    return withRequired(info, { file: ['COMBO', options] });
  }
  if (info.name === 'VHS_LoadVideo') {
    return withRequired(info, { video: [await list(videoName)] });
  }
  return info;
}

const imageName = /\.(png|jpe?g|webp|gif|bmp|tiff?|avif)$/i;
const videoName = /\.(mp4|mov|webm|mkv|gif)$/i;

function withRequired(info: ClassInfo, changed: Record<string, InputSpec>): ClassInfo {
  return { ...info, input: { ...info.input, required: { ...info.input.required, ...changed } } };
}

/** What `/models` lists, as recorded. */
export const modelFolders = [
  'checkpoints',
  'configs',
  'loras',
  'vae',
  'text_encoders',
  'diffusion_models',
  'clip_vision',
  'style_models',
  'embeddings',
  'diffusers',
  'vae_approx',
  'controlnet',
  'gligen',
  'upscale_models',
  'custom_nodes',
  'hypernetworks',
  'photomaker',
  'classifiers',
  'model_patches',
  'audio_encoders',
  'VHS_video_formats',
  'seedvr2',
];
