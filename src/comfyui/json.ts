import { isTooDeep } from '../core/json-depth.ts';

/**
 * Parses what Python's json module writes: JSON, but with bare `NaN` and `Infinity` where a node
 * reports such a number. They become `null`.
 *
 * @throws SyntaxError
 */
export function parsePythonJson(text: string): unknown {
  if (isTooDeep(text)) throw new SyntaxError('It is nested too deeply');
  try {
    return JSON.parse(text);
  } catch (error) {
    const repaired = text.replace(stringOrNonFinite, (token) =>
      token[0] === '"' ? token : 'null',
    );
    if (repaired === text) throw error;
    return JSON.parse(repaired);
  }
}

/** Strings are matched so that what looks like a number inside them is stepped over. */
const stringOrNonFinite = /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g;
