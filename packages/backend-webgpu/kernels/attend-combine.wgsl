// Puts together what the parts of `attend` wrote for each query. A workgroup a (head, row).

struct Params {
  first_row: u32,
  heads: u32,
  fours: u32,
  parts: u32,
  out_start4: u32,
  out_stride4: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4i>;
@group(0) @binding(2) var<storage, read> partial: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<Element4>;

// At least as many as there are parts, so that each has its own weight.
const THREADS = 256u;
const LOWEST = -1e30;

// Weights of the parts, and on the way there what is reduced.
var<workgroup> weights: array<f32, THREADS>;
var<workgroup> numbers: array<f32, THREADS>;
// [slice of the parts, four of the head]
var<workgroup> totals: array<vec4f, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  if rows[params.first_row + group.y].x < 0 {
    return;
  }
  let first = (group.y * params.heads + group.x) * params.parts;
  let size = params.fours + 1u;
  var about = vec4f(LOWEST, 0.0, 0.0, 0.0);
  if thread < params.parts {
    about = partial[(first + thread) * size + params.fours];
  }
  numbers[thread] = about.x;
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if thread < width {
      numbers[thread] = max(numbers[thread], numbers[thread + width]);
    }
  }
  workgroupBarrier();
  let weight = exp2(about.x - numbers[0]);
  workgroupBarrier();
  weights[thread] = weight;
  numbers[thread] = weight * about.y;
  for (var width = THREADS / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if thread < width {
      numbers[thread] += numbers[thread + width];
    }
  }
  workgroupBarrier();

  // Each slice adds up every so many parts.
  let slices = THREADS / params.fours;
  let slice = thread / params.fours;
  let four = thread % params.fours;
  var total = vec4f();
  if slice < slices {
    for (var part = slice; part < params.parts; part += slices) {
      total += weights[part] * partial[(first + part) * size + four];
    }
  }
  totals[thread] = total;
  workgroupBarrier();
  if slice == 0u {
    for (var other = 1u; other < slices; other++) {
      total += totals[other * params.fours + four];
    }
    out[params.out_start4 + group.y * params.out_stride4 + group.x * params.fours + four] = Element4(total / numbers[0]);
  }
}
