import type { Driver } from './driver.ts';

export interface DiskSettings {
  readonly driver: 'disk';
}

/** Files in a folder of the gateway's. */
export const diskDriver: Driver<DiskSettings> = {
  name: 'disk',
  variables: {},
  prefix: null,
  scheme: null,
  required: () => [],
  read: () => ({ driver: 'disk' }),
  async open(_settings, { folder, publicUrl, isOurs, tempo }) {
    const { DiskStore } = await import('../disk-store.ts');
    const store = await DiskStore.open({ root: folder, publicUrl, isOurs, tempo });
    return { store, ownSources: store };
  },
};
