/** What a schema found wrong, as far as a sentence needs it; the words of the library that found it are not ours. */
export interface Misfit {
  readonly code: string;
  readonly input?: unknown;
  /** Of a type. */
  readonly expected?: string;
  /** Of a choice. */
  readonly values?: readonly unknown[];
  /** Of a number, a text or a list. */
  readonly origin?: string;
  readonly minimum?: number | bigint;
  readonly maximum?: number | bigint;
  /** Whether the bound itself is allowed. */
  readonly inclusive?: boolean;
  readonly divisor?: number | bigint;
  readonly format?: string;
  /** Of an object that takes no other names. */
  readonly keys?: readonly string[];
}

/** What is wrong with a value, in words that follow its name: `must be a number`. */
export function misfitWords(misfit: Misfit): string {
  const { code, input, values = [], divisor, format = '', keys = [] } = misfit;
  if (input === undefined) return 'is missing';
  switch (code) {
    case 'invalid_type':
      return `must be ${types[misfit.expected ?? ''] ?? 'of another type'}`;
    case 'invalid_value':
      return `must be ${listed(values.map(String))}`;
    case 'too_small':
      return bound(misfit, misfit.minimum, misfit.inclusive === false ? 'more than' : 'at least');
    case 'too_big':
      return bound(misfit, misfit.maximum, misfit.inclusive === false ? 'less than' : 'at most');
    case 'not_multiple_of':
      return `must be a multiple of ${divisor}`;
    case 'invalid_format':
      return formats[format] ?? 'has not the form that it takes';
    case 'unrecognized_keys':
      return `has no field ${JSON.stringify(keys[0] ?? '')}`;
    case 'invalid_key':
      return 'has a name that it does not take';
    default:
      return 'is none of the forms that it takes';
  }
}

const types: Readonly<Record<string, string>> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
  tuple: 'a list',
  null: 'null',
};

const formats: Readonly<Record<string, string>> = {
  datetime: 'must be an instant, such as 2026-08-01T12:00:00Z',
  date: 'must be a day, such as 2026-08-01',
  uuid: 'must be a UUID',
  url: 'must be an address',
};

const notEmpty = 'must not be empty';

function bound({ origin }: Misfit, value: number | bigint | undefined, than: string): string {
  const isFilled = than === 'at least' && value === 1;
  if (origin === 'string') return isFilled ? notEmpty : `must be ${than} ${value} characters`;
  if (origin === 'array') return isFilled ? notEmpty : `must have ${than} ${value} entries`;
  return `must be ${than} ${value}`;
}

/** `a, b or c` */
function listed(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length > 1 ? `${words.slice(0, -1).join(', ')} or ${last}` : last;
}
