/** What is kept in this browser at most; then the oldest make room, but for those that are pinned. */
export const KEPT_MOST = {
  runs: { count: 20, bytes: 200e6 },
  snapshots: { count: 20, bytes: 200e6 },
} as const;
