import sharp from 'sharp';

// Formats with scripts, links and delegates of their own are none of ours, sniffed or not.
sharp.block({ operation: ['VipsForeignLoad'] });
sharp.unblock({
  operation: [
    'VipsForeignLoadPng',
    'VipsForeignLoadJpeg',
    'VipsForeignLoadWebp',
    'VipsForeignLoadNsgif',
    'VipsForeignLoadTiff',
    'VipsForeignLoadHeif',
  ],
});
// Each source is read once.
sharp.cache(false);

export { sharp };
