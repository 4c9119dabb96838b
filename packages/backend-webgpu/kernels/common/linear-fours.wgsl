// Fours of the input and of the weight for tiles of f32. Rows and outputs past the last repeat it; columns past it are zeros.
// uses: linear-params

fn input4(row: u32, column4: u32) -> vec4f {
  return vec4f(x[params.x_start4 + min(row, params.rows - 1u) * params.x_stride4 + column4]);
}

fn matrix4(output: u32, column4: u32) -> vec4f {
  return weight4(min(output, params.outputs - 1u), column4);
}

// The same near the end of a row.
fn last_input4(row: u32, column4: u32) -> vec4f {
  if 4u * column4 >= params.columns {
    return vec4f();
  }
  return select(vec4f(), input4(row, column4), vec4u(4u * column4) + vec4u(0u, 1u, 2u, 3u) < vec4u(params.columns));
}

fn last_matrix4(output: u32, column4: u32) -> vec4f {
  if 4u * column4 >= params.columns {
    return vec4f();
  }
  return matrix4(output, column4);
}
