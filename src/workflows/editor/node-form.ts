import { nestedInputs } from '../../core/input-spec.ts';
import type { NodeClass, NodeInput } from '../../core/node-catalogue.ts';
import { customCombo, growOptions, optionWidgets } from './custom-combo.ts';
import type { EditorInput, EditorNode } from './read.ts';
import type { Input } from './sheet.ts';
import { formatWidgets, isVideoHelper, namedValues } from './video-helper.ts';
import { editorOnly, hasWidget, isMissing, isRecord, type Widget, widgetsFor } from './widgets.ts';

/**
 * The inputs and widgets that the editor gives to a node of a class, filled with what a file saved of it.
 * The server says which there are; the file only says what they hold, by position. So the order in which
 * they come to be here is the order in which the editor makes them.
 */
export class NodeForm {
  readonly inputs: Input[] = [];
  readonly widgets: Widget[] = [];
  /** Groups of inputs that grow as they are linked, by their names: whether an input belongs there. */
  readonly #growing = new Map<string, (name: string) => boolean>();
  readonly #class: NodeClass;
  readonly #savedWidgets: ReadonlySet<string>;

  constructor(nodeClass: NodeClass, saved: EditorNode) {
    this.#class = nodeClass;
    // Types of widgets that custom nodes bring into the browser show only in what it saved.
    this.#savedWidgets = new Set(
      saved.inputs.filter(({ name, widget }) => widget === name).map(({ name }) => name),
    );
    for (const input of nodeClass.inputs) this.#addSocket(input);
    for (const input of nodeClass.inputs) this.#addWidget(input);
    if (hasUploadButton(nodeClass)) this.widgets.push(editorOnly('upload'));
    this.widgets.push(...preview3d(nodeClass));
    if (nodeClass.name === customCombo) this.widgets.push(...optionWidgets(this.widgets));

    this.#takeInputs(saved.inputs);
    this.#takeValues(saved.values);
    this.#fillChoices();
    const names = new Set(this.widgets.map(({ name }) => name));
    remove(this.inputs, ({ widget }) => widget !== null && !names.has(widget));
  }

  #isWidget(input: NodeInput): boolean {
    return hasWidget(input) || (this.#savedWidgets.has(input.name) && !input.settings.forceInput);
  }

  #addSocket(input: NodeInput): void {
    if (this.#isWidget(input)) return;
    if (input.type === 'COMFY_AUTOGROW_V3') this.#addGrowing(input);
    else this.inputs.push(emptyInput(input.name, linkType(input), null));
  }

  #addWidget(input: NodeInput): void {
    if (!this.#isWidget(input)) return;
    const [widget, ...companions] = widgetsFor(input);
    this.widgets.push(widget, ...companions);
    if (widget.branches) this.#openBranch(widget);
    if (!input.settings.socketless) {
      this.inputs.push(emptyInput(input.name, input.type, input.name));
    }
  }

  #addGrowing({ name: group, settings }: NodeInput): void {
    const template = isRecord(settings.template) ? settings.template : {};
    const members = nestedInputs(template.input);
    const names = Array.isArray(template.names) ? template.names : null;
    const stems = members.length === 1 ? [template.prefix ?? ''] : members.map(({ name }) => name);
    const nameAt = (index: number, member: number): string =>
      `${group}.${names ? names[index] : `${stems[member]}${index}`}`;
    this.#growing.set(group, (name) => {
      if (!name.startsWith(`${group}.`)) return false;
      const rest = name.slice(group.length + 1);
      return names
        ? names.includes(rest)
        : stems.some(
            (stem) => rest.startsWith(`${stem}`) && /^\d+$/.test(rest.slice(`${stem}`.length)),
          );
    });
    const shown = Math.min(Number(template.min ?? 1) + 1, names?.length ?? 100);
    for (let index = 0; index < shown; index++) {
      for (const [position, member] of members.entries()) {
        const input = { ...member, name: nameAt(index, position) };
        this.#addSocket(input);
        this.#addWidget(input);
      }
    }
  }

  /** Shows the inputs that a choice brings along in place of those of the choice before. */
  #openBranch(widget: Widget): void {
    const isInBranch = ({ name }: { readonly name: string }) => name.startsWith(`${widget.name}.`);
    for (const group of this.#growing.keys()) {
      if (isInBranch({ name: group })) this.#growing.delete(group);
    }
    remove(this.widgets, isInBranch);
    const closed = remove(this.inputs, isInBranch);

    const widgetCount = this.widgets.length;
    const inputCount = this.inputs.length;
    for (const nested of widget.branches?.get(widget.value) ?? []) {
      const input = { ...nested, name: `${widget.name}.${nested.name}` };
      this.#addSocket(input);
      this.#addWidget(input);
    }
    moveBehind(this.widgets, this.widgets.indexOf(widget), widgetCount);
    moveBehind(
      this.inputs,
      this.inputs.findIndex(({ name }) => name === widget.name),
      inputCount,
    );

    const byName = new Map(this.inputs.map((input) => [input.name, input]));
    for (const input of closed) {
      const reopened = byName.get(input.name);
      if (reopened) Object.assign(reopened, { link: input.link, label: input.label });
      else if (this.#grows(input.name)) this.inputs.push(input);
    }
  }

  #grows(name: string): boolean {
    return [...this.#growing.values()].some((belongs) => belongs(name));
  }

  /** Inputs are known by their names: where they stood when the file was saved says nothing. */
  #takeInputs(saved: readonly EditorInput[]): void {
    const byName = new Map(saved.map((input) => [input.name, input]));
    for (const input of this.inputs) {
      const { link = null, label = null } = byName.get(input.name) ?? {};
      Object.assign(input, { link, label });
      byName.delete(input.name);
    }
    for (const { name, type, link, label, widget } of byName.values()) {
      this.inputs.push({ ...emptyInput(name, type, widget), link, label });
    }
  }

  #takeValues(saved: EditorNode['values']): void {
    const isNamed = isVideoHelper(this.#class.name) || !Array.isArray(saved);
    const named = isNamed ? namedValues(this.#class.name, saved) : null;
    if (named) this.#takeNamed(named);
    else if (Array.isArray(saved)) this.#takeListed(saved);
  }

  #takeListed(saved: readonly unknown[]): void {
    const values = this.#withoutForced(saved);
    let next = 0;
    // Not an iteration over a copy: a choice changes which widgets follow.
    for (let index = 0; index < this.widgets.length && next < values.length; index++) {
      const widget = this.widgets[index] as Widget;
      if (widget.isSaved) this.#set(widget, values[next++]);
    }
  }

  #takeNamed(values: ReadonlyMap<string, unknown>): void {
    for (let index = 0; index < this.widgets.length; index++) {
      const widget = this.widgets[index] as Widget;
      if (values.has(widget.name)) this.#set(widget, values.get(widget.name));
      const more = formatWidgets(widget);
      this.widgets.splice(index + 1, 0, ...more);
      for (const { name, input } of more) {
        const known = this.inputs.some((taken) => taken.name === name);
        if (!known) this.inputs.push(emptyInput(name, input?.type ?? '*', name));
      }
    }
  }

  /**
   * Older editors saved a value for an input that the server makes a mere socket; it is told by the
   * number of values.
   */
  #withoutForced(values: readonly unknown[]): readonly unknown[] {
    const names = new Set(this.widgets.map(({ name }) => name));
    const isForced = this.#class.inputs
      .filter(({ name, settings }) => names.has(name) || settings.forceInput)
      .flatMap(({ settings: { forceInput, control_after_generate: control } }) =>
        control ? [Boolean(forceInput), false] : [Boolean(forceInput)],
      );
    if (hasUploadButton(this.#class)) isForced.push(false);
    return isForced.length === values.length
      ? values.filter((_, index) => !isForced[index])
      : values;
  }

  #set(widget: Widget, value: unknown): void {
    widget.value = value === null && widget.input?.settings.multiline ? '' : value;
    if (widget.branches) this.#openBranch(widget);
    if (this.#class.name === customCombo) growOptions(this.widgets);
  }

  #fillChoices(): void {
    for (let index = 0; index < this.widgets.length; index++) {
      const widget = this.widgets[index] as Widget;
      const [first] = widget.choices;
      if (isMissing(widget.value) && !isMissing(first)) this.#set(widget, first);
    }
  }
}

export function emptyInput(name: string, type: string, widget: string | null): Input {
  return { name, type, link: null, label: null, widget, promoted: null };
}

function linkType({ type, settings: { template } }: NodeInput): string {
  const isMatched = type === 'COMFY_MATCHTYPE_V3' && isRecord(template);
  return isMatched ? String(template.allowed_types) : type;
}

/** The button stands behind all other widgets, whichever input it is for. */
function hasUploadButton({ inputs }: NodeClass): boolean {
  return inputs.some(
    ({ name, type, isRequired, settings }) =>
      isRequired &&
      ((type === 'COMBO' &&
        (settings.image_upload === true ||
          settings.video_upload === true ||
          settings.animated_image_upload === true)) ||
        (name === 'audio' && settings.audio_upload === true)),
  );
}

/** What shows a model is sent along, though no server reads it. */
function preview3d({ name }: NodeClass): Widget[] {
  return showing3d.has(name) ? [{ ...editorOnly('image'), value: '', isSent: true }] : [];
}

const showing3d: ReadonlySet<string> = new Set(['SaveGLB', 'Preview3D', 'Preview3DAnimation']);

/** Takes out what `isGone` names, in place. */
function remove<T>(list: T[], isGone: (entry: T) => boolean): T[] {
  const { gone = [], kept = [] } = Object.groupBy(list, (entry) =>
    isGone(entry) ? 'gone' : 'kept',
  );
  list.length = 0;
  for (const entry of kept) list.push(entry);
  return gone;
}

/** Moves what was appended since `from` to behind the entry at `index`. */
function moveBehind<T>(list: T[], index: number, from: number): void {
  const added = list.splice(from);
  list.splice(index < 0 ? list.length : index + 1, 0, ...added);
}
