// Limits progress reports: people read them, so once a second is enough.

import type { Clock } from '#shared/kernel/clock.ts'
import { SECOND_MS } from '#shared/kernel/units.ts'

/** Acts on the first call, and then at most once a second. */
export function throttled(clock: Clock, act: () => void): () => void {
  let lastMs = clock.monotonicMs() - SECOND_MS
  return () => {
    if (clock.monotonicMs() - lastMs < SECOND_MS) return
    lastMs = clock.monotonicMs()
    act()
  }
}
