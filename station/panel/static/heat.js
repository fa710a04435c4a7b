// Where did the model look? The strongest score of each place as a coloured, see-through picture.
//
// Colours after the map "inferno": evenly growing brightness, so that it also reads without colour.
const STOPS = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];
const FAINTEST = 0.12; // below this share of the full score nothing is drawn: noise would hide the part
const DENSEST = 0.72;

const TABLE = new Uint8ClampedArray(256 * 4);
for (let v = 0; v < 256; v++) {
  const share = v / 255, place = share * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2), rest = place - low;
  for (let c = 0; c < 3; c++) TABLE[v * 4 + c] = STOPS[low][c] + rest * (STOPS[low + 1][c] - STOPS[low][c]);
  TABLE[v * 4 + 3] = share < FAINTEST ? 0 : 255 * DENSEST * Math.min(1, (share - FAINTEST) / 0.25);
}

/** A grey picture (0 nothing, 255 the full score) as a bitmap to lay over the part. */
export function coloured(grey) {
  const canvas = document.createElement("canvas");
  canvas.width = grey.width;
  canvas.height = grey.height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.drawImage(grey, 0, 0);
  const pixels = pen.getImageData(0, 0, grey.width, grey.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const at = pixels.data[i] * 4;
    pixels.data.set(TABLE.subarray(at, at + 4), i);
  }
  pen.putImageData(pixels, 0, 0);
  return canvas;
}
