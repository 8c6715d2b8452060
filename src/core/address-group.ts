/**
 * The addresses that one sender is taken to have: of IPv6 its /64, which is what one network has; of IPv4 the address
 * itself, also where a socket has it as `::ffff:192.0.2.1`. `address`: as a socket has it.
 */
export function addressGroup(address: string): string {
  const [bare = ''] = address.split('%');
  const mapped = /^::ffff:(\d+(?:\.\d+){3})$/i.exec(bare)?.[1];
  if (mapped !== undefined) return mapped;
  if (!bare.includes(':')) return bare;
  const [head = '', tail] = bare.split('::');
  const groups = wordsOf(head);
  const rest = tail === undefined ? [] : wordsOf(tail);
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - rest.length) }, () => '0');
  const words = [...groups, ...zeros, ...rest].slice(0, 4);
  return `${words.map((word) => word.replace(/^0+(?=.)/, '').toLowerCase()).join(':')}::/64`;
}

function wordsOf(part: string): string[] {
  return part === '' ? [] : part.split(':');
}
