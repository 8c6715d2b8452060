import { editorOnly, type Widget } from './widgets.ts';

/**
 * ComfyUI's `CustomCombo` offers for a choice what its own further widgets hold: `option1`, `option2` and
 * so on, always one more than are filled. It sends them, and where among them the choice stands.
 */
export const customCombo = 'CustomCombo';

/** What stands behind the choice. */
export function optionWidgets(widgets: readonly Widget[]): Widget[] {
  const index: Widget = {
    ...editorOnly('index'),
    isSent: true,
    get value() {
      return optionsOf(widgets).findIndex(({ value }) => value === widgets[0]?.value);
    },
    // It is saved, but never taken back.
    set value(_) {},
  };
  return [index, option(1)];
}

/** Shows one more option once the last is filled. */
export function growOptions(widgets: Widget[]): void {
  const options = optionsOf(widgets);
  if (options.at(-1)?.value) widgets.push(option(options.length + 1));
}

function optionsOf(widgets: readonly Widget[]): readonly Widget[] {
  return widgets.slice(2);
}

function option(number: number): Widget {
  return { ...editorOnly(`option${number}`), value: '', isSent: true };
}
