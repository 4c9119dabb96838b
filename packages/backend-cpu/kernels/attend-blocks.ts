/** Softmax over the selected blocks up to the row's own position. Task: (token, KV head, part of the group's heads). */
import { AttendArgs, attendPage, closeTile, loadQueries, openTile, tileAt } from "./attend-tile";

export function attendBlocks(at: usize, task: i32, scratch: usize): void {
  const args = changetype<AttendArgs>(at);
  const part = task % args.splits, rest = task / args.splits;
  const kvHead = rest % args.kvHeads, tile = tileAt(args.tiles, rest / args.kvHeads);
  const perPart = (args.group + args.splits - 1) / args.splits;
  const head = kvHead * args.group + part * perPart, heads = min(perPart, args.group - part * perPart);
  if (heads <= 0) return;
  const blockSize = args.blockSize;

  const state = openTile(scratch, heads, args.d, blockSize);
  const pages = <usize>args.pageTable + ((<usize>(tile.sequence * args.pageStride)) << 2);
  for (let t = 0; t < tile.rows; t++) {
    if (t > 0) openTile(scratch, heads, args.d, blockSize);
    const row = <usize>(tile.row + t), position = tile.position + t, diagonal = position / blockSize;
    loadQueries(<usize>args.q + row * args.ldq * 4, 0, 1, head, heads, args.d, args.scale, state.q);
    const chosen = <usize>args.indices + (((<usize>(kvHead * args.capacity) + row) * args.budget) << 2);
    for (let i = 0; i < args.budget; i++) {
      const block = load<i32>(chosen + (<usize>i << 2));
      if (block < 0 || block > diagonal) continue;
      const page = load<i32>(pages + (<usize>block << 2));
      attendPage(state, args, page, kvHead, heads, position - block * blockSize + 1);
    }
    closeTile(state, <usize>args.out + row * args.ldo * 4, 0, head, heads, args.d);
  }
}
