/**
 * Pillow's antialiased bilinear and bicubic resize and torchvision's resize-and-crop, to the bit.
 *
 * Pillow's 8-bit path works in fixed point with 22 fractional bits, rounds to 8 bits after each pass, and takes the
 * vertical pass first when the picture loses more than twice as many rows as columns. Held to Pillow by a test.
 * `serving/export/resize.mjs` is this file compiled: it also goes where no build does.
 */
const FRACTION_BITS = 22;
const ONE = 2 ** FRACTION_BITS;
const HALF = ONE / 2;
const triangle = { reach: 1, at: (x) => Math.max(1 - Math.abs(x), 0) };
const cubic = {
    reach: 2,
    at(distance) {
        const x = Math.abs(distance);
        if (x < 1)
            return (1.5 * x - 2.5) * x * x + 1;
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
    },
};
function weightsOf(inputSize, outputSize, filter) {
    const scale = inputSize / outputSize;
    const stretch = Math.max(scale, 1);
    const reach = filter.reach * stretch;
    const width = Math.ceil(reach) * 2 + 1;
    const start = new Int32Array(outputSize);
    const count = new Int32Array(outputSize);
    const weights = new Int32Array(outputSize * width);
    const exact = new Float64Array(width);
    for (let at = 0; at < outputSize; at += 1) {
        const centre = (at + 0.5) * scale;
        const low = Math.max(Math.trunc(centre - reach + 0.5), 0);
        const high = Math.min(Math.trunc(centre + reach + 0.5), inputSize);
        let sum = 0;
        for (let k = low; k < high; k += 1) {
            exact[k - low] = filter.at((k - centre + 0.5) * (1 / stretch));
            sum += exact[k - low];
        }
        for (let k = 0; k < high - low; k += 1) {
            const weight = exact[k] / sum;
            weights[at * width + k] = Math.trunc(weight * ONE + (weight < 0 ? -0.5 : 0.5));
        }
        start[at] = low;
        count[at] = high - low;
    }
    return { start, count, weights, width };
}
/** One pass along one axis. */
function pass(source, target, plan, { begins, stride }) {
    const { start, count, weights, width } = plan;
    for (const [from, to] of begins) {
        for (let at = 0; at < start.length; at += 1) {
            let sum = HALF;
            const first = from + start[at] * stride;
            for (let k = 0; k < count[at]; k += 1) {
                sum += source[first + k * stride] * weights[at * width + k];
            }
            target[to + at * stride] = Math.min(Math.max(sum >> FRACTION_BITS, 0), 255);
        }
    }
    return target;
}
function* pairs(outer, fromOuter, toOuter, inner) {
    for (let a = 0; a < outer; a += 1)
        for (let b = 0; b < inner; b += 1)
            yield [a * fromOuter + b, a * toOuter + b];
}
function alongX(source, width, height, outWidth, filter) {
    if (outWidth === width)
        return source;
    const target = new Uint8Array(outWidth * height * 3);
    return pass(source, target, weightsOf(width, outWidth, filter), { begins: pairs(height, width * 3, outWidth * 3, 3), stride: 3 });
}
function alongY(source, width, height, outHeight, filter) {
    if (outHeight === height)
        return source;
    const row = width * 3;
    const target = new Uint8Array(row * outHeight);
    return pass(source, target, weightsOf(height, outHeight, filter), { begins: pairs(1, 0, 0, row), stride: row });
}
/** uint8 RGB of any size → uint8 RGB of another, antialiased. */
export function resize(rgb, width, height, outWidth, outHeight, filter = triangle) {
    const downFirst = outHeight < height && outWidth !== width && height - outHeight > 2 * (width - outWidth);
    return downFirst
        ? alongX(alongY(rgb, width, height, outHeight, filter), width, outHeight, outWidth, filter)
        : alongY(alongX(rgb, width, height, outWidth, filter), outWidth, height, outHeight, filter);
}
/** Python's round: half to even. */
export function roundHalfEven(value) {
    const floor = Math.floor(value);
    const rest = value - floor;
    return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
}
/**
 * uint8 RGB of any size → uint8 RGB `size` x `size`: the shorter side to `size`, then the centre; or as a bundle's
 * preprocess.json says, if given.
 */
export function fit(rgb, width, height, size, preprocess = {}) {
    const side = preprocess.resized ?? size;
    const squeezes = preprocess.resize?.startsWith('both') ?? false;
    const outWidth = width <= height || squeezes ? side : Math.trunc((side * width) / height);
    const outHeight = width > height || squeezes ? side : Math.trunc((side * height) / width);
    const resized = resize(rgb, width, height, outWidth, outHeight, preprocess.resize?.includes('bicubic') ? cubic : triangle);
    const round = preprocess.crop?.endsWith('down') ? Math.floor : roundHalfEven;
    const left = round((outWidth - size) / 2);
    const top = round((outHeight - size) / 2);
    const crop = new Uint8Array(size * size * 3);
    for (let y = 0; y < size; y += 1) {
        const from = ((top + y) * outWidth + left) * 3;
        crop.set(resized.subarray(from, from + size * 3), y * size * 3);
    }
    return crop;
}
