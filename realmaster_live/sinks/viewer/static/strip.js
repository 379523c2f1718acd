// The strip below a mosaic: squares that say which moment it shows, and for which watch.

const SQUARE = 8, BITS = 32;
export const NUMBERS = 1 << 20;

const canvas = document.createElement("canvas");
canvas.width = SQUARE * BITS;
canvas.height = SQUARE;
const context = canvas.getContext("2d", { willReadFrequently: true });

/** Return the byte by which the server marks the pictures of a watch. */
export function stampOf(watch) {
  const bytes = new TextEncoder().encode([...watch.cameras, watch.layer].join("\n"));
  return bytes.reduce((sum, byte, place) => sum + (place + 1) * byte, 0) % 256;
}

/** Return the stamp and number of a picture, or null where it has no whole strip. */
export function readStrip(source, width, height) {
  if (width < canvas.width || height <= SQUARE) return null;
  context.drawImage(
    source, 0, height - SQUARE, canvas.width, SQUARE, 0, 0, canvas.width, SQUARE);
  const pixels = context.getImageData(0, SQUARE / 2, canvas.width, 1).data;
  const bits = [];
  for (let place = 0; place < BITS; place += 1) {
    bits.push(pixels[4 * (place * SQUARE + SQUARE / 2) + 1] > 125 ? 1 : 0);
  }
  const digit = at => bits.slice(at, at + 4).reduce((value, bit) => value * 2 + bit, 0);
  let sum = 10;
  for (let at = 0; at < 28; at += 4) sum += digit(at);
  if (sum % 16 !== digit(28)) return null;
  const value = bits.slice(0, 28).reduce((all, bit) => all * 2 + bit, 0);
  return { stamp: value >>> 20, number: value % NUMBERS };
}

export const STRIP_PX = SQUARE;
