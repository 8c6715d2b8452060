/** The text without what would steer the terminal that shows it: a file may hold anything. */
export function printable(text: string): string {
  return text.replace(
    steering,
    (letter) => `\\u{${(letter.codePointAt(0) as number).toString(16)}}`,
  );
}

/** Control characters, line separators, and what turns the direction of writing. */
const steering = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
