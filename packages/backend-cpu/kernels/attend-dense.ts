/** Softmax over every position up to the row's own. Task: (tile, KV head, part of the group's heads). */
import { AttendArgs, attendPage, closeTile, loadQueries, openTile, tileAt } from "./attend-tile";

export function attendDense(at: usize, task: i32, scratch: usize): void {
  const args = changetype<AttendArgs>(at);
  const part = task % args.splits, rest = task / args.splits;
  const kvHead = rest % args.kvHeads, tile = tileAt(args.tiles, rest / args.kvHeads);
  const perPart = (args.group + args.splits - 1) / args.splits;
  const head = kvHead * args.group + part * perPart, heads = min(perPart, args.group - part * perPart);
  if (heads <= 0) return;
  const blockSize = args.blockSize, last = tile.position + tile.rows - 1;

  const state = openTile(scratch, tile.rows * heads, args.d, blockSize);
  const q = <usize>args.q + <usize>tile.row * args.ldq * 4;
  loadQueries(q, <usize>args.ldq << 2, tile.rows, head, heads, args.d, args.scale, state.q);
  const pages = <usize>args.pageTable + ((<usize>(tile.sequence * args.pageStride)) << 2);
  for (let block = 0; block <= last / blockSize; block++) {
    const page = load<i32>(pages + (<usize>block << 2));
    attendPage(state, args, page, kvHead, heads, tile.position - block * blockSize + 1);
  }
  const out = <usize>args.out + <usize>tile.row * args.ldo * 4;
  closeTile(state, out, <usize>args.ldo << 2, head, heads, args.d);
}
