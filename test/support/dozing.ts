/** What a gateway says last before it stands still at a milestone. */
export const dozing = 'process.dozing';
