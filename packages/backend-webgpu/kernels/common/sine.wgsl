// Cosine and sine to an f32 rounding for angles up to 2^17; the built-in ones may be off by 2^-11.

// pi/2 in parts of 7 bits each, so that a multiple below 2^17 of each is exact, and the rest.
const HALF_PI_1 = 1.5625;
const HALF_PI_2 = 0.0081787109375;
const HALF_PI_3 = 0.00011730194091796875;
const HALF_PI_4 = 3.139164786504813e-7;

// `zero` is 0, which the compiler must not know: it keeps the angle from being merged into a fused operation unrounded.
fn cos_sin(product: f32, zero: u32) -> vec2f {
  let angle = bitcast<f32>(bitcast<u32>(product) ^ zero);
  let turns = round(angle * 0.63661977236758134);
  var x = angle - turns * HALF_PI_1;
  x = bitcast<f32>(bitcast<u32>(x) ^ zero) - turns * HALF_PI_2;
  x = bitcast<f32>(bitcast<u32>(x) ^ zero) - turns * HALF_PI_3;
  x = bitcast<f32>(bitcast<u32>(x) ^ zero) - turns * HALF_PI_4;
  let y = x * x;
  let sine = x + x * y * (-1.6666654611e-1 + y * (8.3321608736e-3 - y * 1.9515295891e-4));
  let cosine = 1.0 - 0.5 * y + y * y * (4.166664568298827e-2 + y * (-1.388731625493765e-3 + y * 2.443315711809948e-5));
  let quarter = i32(turns) & 3;
  let swapped = select(vec2f(cosine, sine), vec2f(sine, cosine), (quarter & 1) == 1);
  return select(swapped, -swapped, vec2<bool>(quarter == 1 || quarter == 2, quarter >= 2));
}
