// out = x · weightᵀ + bias for many rows and outputs: tiles of 128 by 128, eight by eight an invocation, SLICE fours of
// columns at a time. The next columns are loaded while these are multiplied. Workgroups: outputs, rows.
// uses: <weight> linear-fours fma4

// 4, or 8 where workgroups have the memory: on an H100 34 and 39 TFLOP/s.
override SLICE: u32 = 4u;
// Places between columns: rows and eight fours' worth of spare, so that neither writing nor reading meets a bank twice.
override PITCH: u32 = TILE + 8u / SLICE;

const TILE = 128u;
const ACROSS = 16u;
const THREADS = 256u;

// [column4, row or output]
var<workgroup> inputs: array<vec4f, SLICE * PITCH>;
var<workgroup> matrix: array<vec4f, SLICE * PITCH>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let across = thread % ACROSS;
  let down = thread / ACROSS;
  let first_row = group.y * TILE;
  let first_output = group.x * TILE;
  // What this invocation stages: fours of SLICE / 2 rows and outputs.
  let index = thread / SLICE;
  let column = thread % SLICE;
  let apart = THREADS / SLICE;
  var next_inputs: array<vec4f, 4>;
  var next_matrix: array<vec4f, 4>;
  for (var i = 0u; i < SLICE / 2u; i++) {
    next_inputs[i] = last_input4(first_row + index + i * apart, column);
    next_matrix[i] = last_matrix4(first_output + index + i * apart, column);
  }
  // Rows 8 * down + r; outputs across + 16 * i, the first four in `low`.
  var low: array<vec4f, 8>;
  var high: array<vec4f, 8>;
  for (var first = 0u; 4u * first < params.columns; first += SLICE) {
    workgroupBarrier();
    for (var i = 0u; i < SLICE / 2u; i++) {
      inputs[column * PITCH + index + i * apart] = next_inputs[i];
      matrix[column * PITCH + index + i * apart] = next_matrix[i];
    }
    workgroupBarrier();
    let next = first + SLICE + column;
    if 4u * (first + 2u * SLICE) <= params.columns {
      for (var i = 0u; i < SLICE / 2u; i++) {
        next_inputs[i] = input4(first_row + index + i * apart, next);
        next_matrix[i] = matrix4(first_output + index + i * apart, next);
      }
    } else {
      for (var i = 0u; i < SLICE / 2u; i++) {
        next_inputs[i] = last_input4(first_row + index + i * apart, next);
        next_matrix[i] = last_matrix4(first_output + index + i * apart, next);
      }
    }
    for (var column4 = 0u; column4 < SLICE; column4++) {
      let at = column4 * PITCH + across;
      let w0 = matrix[at];
      let w1 = matrix[at + 16u];
      let w2 = matrix[at + 32u];
      let w3 = matrix[at + 48u];
      let w4 = matrix[at + 64u];
      let w5 = matrix[at + 80u];
      let w6 = matrix[at + 96u];
      let w7 = matrix[at + 112u];
      for (var r = 0u; r < 8u; r++) {
        let value = inputs[column4 * PITCH + 8u * down + r];
        let a = low[r];
        let b = high[r];
        low[r] = vec4f(fma4(value, w0, a.x), fma4(value, w1, a.y), fma4(value, w2, a.z), fma4(value, w3, a.w));
        high[r] = vec4f(fma4(value, w4, b.x), fma4(value, w5, b.y), fma4(value, w6, b.z), fma4(value, w7, b.w));
      }
    }
  }
  for (var r = 0u; r < 8u; r++) {
    let row = first_row + 8u * down + r;
    for (var i = 0u; i < 4u; i++) {
      store(row, first_output + across + 16u * i, low[r][i]);
      store(row, first_output + across + 16u * (i + 4u), high[r][i]);
    }
  }
}
