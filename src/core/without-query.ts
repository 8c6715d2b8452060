/** A signed URL is a credential: what follows its `?` is neither logged nor kept for show. */
export function withoutQuery(url: string): string {
  return url.split(/[?#]/, 1)[0] ?? '';
}
