/** Far deeper than graphs and answers are; whoever walks what is deeper overflows the stack. */
const mostLevels = 100;
/** The largest catalogues have a quarter of that. Small values take twenty times their text in memory. */
const mostValues = 4_000_000;

/**
 * Parses what Python's json module writes: JSON, but with bare `NaN` and `Infinity` where a node
 * reports such a number. They become `null`. It takes time and memory in proportion to the text.
 *
 * @throws SyntaxError, also for what is deeper or has more values than any server's answer.
 */
export function parsePythonJson(text: string): unknown {
  return JSON.parse(withoutNonFinite(text));
}

/** Also asserts that the text is not too deep. It steps over strings, whatever they contain. */
function withoutNonFinite(text: string): string {
  const pieces: string[] = [];
  let copied = 0;
  let levels = 0;
  let values = 0;
  const replace = (from: number, to: number) => {
    pieces.push(text.slice(copied, from), 'null');
    copied = to;
  };
  for (let at = 0; at < text.length; at += 1) {
    switch (text[at]) {
      case '"':
        at = endOfString(text, at);
        break;
      case '[':
      case '{':
        levels += 1;
        values += 1;
        if (levels > mostLevels) throw new SyntaxError(`It is deeper than ${mostLevels} levels`);
        break;
      case ']':
      case '}':
        levels -= 1;
        break;
      case ',':
        values += 1;
        break;
      case 'N':
        if (text.startsWith('NaN', at)) replace(at, at + 3);
        break;
      case 'I':
        if (text.startsWith('Infinity', at)) replace(text[at - 1] === '-' ? at - 1 : at, at + 8);
        break;
      default:
    }
  }
  if (values > mostValues) throw new SyntaxError(`It has more than ${mostValues} values`);
  return pieces.length === 0 ? text : pieces.join('') + text.slice(copied);
}

/** Where the string ends that begins at `start`; the end of the text where it does not end. */
function endOfString(text: string, start: number): number {
  let end = start;
  do {
    end = text.indexOf('"', end + 1);
    if (end < 0) return text.length;
  } while (isEscaped(text, end));
  return end;
}

function isEscaped(text: string, at: number): boolean {
  let first = at;
  while (text[first - 1] === '\\') first -= 1;
  return (at - first) % 2 === 1;
}
