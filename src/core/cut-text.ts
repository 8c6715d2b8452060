/** The first `most` characters of a text. A cut never leaves half of a surrogate pair. */
export function cutText(text: string, most: number): string {
  if (text.length <= most) return text;
  // A character takes two code units at most, so that no more of a long text is looked at.
  return [...text.slice(0, most * 2)].slice(0, most).join('');
}
