import type { WriteStream } from 'node:tty';

/** A terminal may not know its width. */
export function columnsOf({ columns }: WriteStream): number {
  return columns || 80;
}

/** For a person at a terminal, lines break between words; for a program that reads them, they stay whole. */
export function forOutput(text: string, out: WriteStream, indent = ''): string {
  if (!out.isTTY) return text;
  const folded = text.split('\n').map((line) => fold(line, columnsOf(out), indent));
  return folded.join('\n');
}

/**
 * One line as lines of at most `columns` characters, which break between words. Further lines are indented.
 * A word longer than a line, such as an address, stays whole.
 */
export function fold(text: string, columns: number, indent = ''): string {
  const [lead = ''] = /^\s*/.exec(text) ?? [];
  const lines: string[] = [];
  let line = lead;
  // Spaces belong to the word before them: columns of a table stay where they are.
  for (const word of text.slice(lead.length).match(/\S+\s*/g) ?? []) {
    const { length } = word.trimEnd();
    const wouldFit = lead.length + indent.length + length <= columns;
    if (line.trim() !== '' && line.length + length > columns && wouldFit) {
      lines.push(line.trimEnd());
      line = lead + indent;
    }
    line += word;
  }
  return [...lines, line.trimEnd()].join('\n');
}

/** The text, or as many whole words of it as fit, and an ellipsis. */
export function wordsThatFit(text: string, columns: number): string {
  if (text.length <= columns) return text;
  const start = text.slice(0, Math.max(0, columns));
  const end = start.lastIndexOf(' ');
  return end > 0 ? `${start.slice(0, end).replace(/[\s,;:.]+$/, '')}…` : '';
}
