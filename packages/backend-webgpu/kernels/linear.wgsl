// out = x · weightᵀ + bias where `linear-tile` would have too few tiles for the GPU, or workgroups too little memory for it:
// tiles of 64 rows by 64 outputs, four by four an invocation, 32 columns at a time. x is read in fours; what lies past a
// row's columns is ignored. Workgroups: outputs, rows.
// uses: <weight> linear-fours fma4

const TILE = 64u;
const SLICE = 8u;
const ACROSS = 16u;
const THREADS = 256u;

// [column4, row or output], its place mixed with the column against bank conflicts.
var<workgroup> inputs: array<vec4f, 512>;
var<workgroup> matrix: array<vec4f, 512>;

// An invocation's four outputs lie 16 apart.
fn slot(index: u32, column4: u32) -> u32 {
  return column4 * TILE + (index ^ column4);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let across = thread % ACROSS;
  let down = thread / ACROSS;
  let first_row = group.y * TILE;
  let first_output = group.x * TILE;
  var sums: array<vec4f, 4>;
  for (var first = 0u; 4u * first < params.columns; first += SLICE) {
    workgroupBarrier();
    for (var i = thread; i < TILE * SLICE; i += THREADS) {
      let to = slot(i / SLICE, i % SLICE);
      inputs[to] = last_input4(first_row + i / SLICE, first + i % SLICE);
      matrix[to] = last_matrix4(first_output + i / SLICE, first + i % SLICE);
    }
    workgroupBarrier();
    for (var column4 = 0u; column4 < SLICE; column4++) {
      let w0 = matrix[slot(across, column4)];
      let w1 = matrix[slot(across + 16u, column4)];
      let w2 = matrix[slot(across + 32u, column4)];
      let w3 = matrix[slot(across + 48u, column4)];
      for (var r = 0u; r < 4u; r++) {
        let value = inputs[slot(4u * down + r, column4)];
        let sum = sums[r];
        sums[r] = vec4f(fma4(value, w0, sum.x), fma4(value, w1, sum.y), fma4(value, w2, sum.z), fma4(value, w3, sum.w));
      }
    }
  }
  for (var r = 0u; r < 4u; r++) {
    let row = first_row + 4u * down + r;
    for (var i = 0u; i < 4u; i++) {
      store(row, first_output + across + 16u * i, sums[r][i]);
    }
  }
}
