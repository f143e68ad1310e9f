// The orphan sweep in a large cluster: each hour a run is cut off or killed after 300 s, and still each disk is reached within a day.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HOUR_MS } from '#shared/kernel/units.ts'
import { liveOrphansDay } from '#test/support/orphans-load.ts'

const day = suite('a day of the look for orphans')

const DISKS = 5000

day('each of 5,000 disks is checked within a day, at 1.3 s for each, although every second run is killed', async () => {
  const { allSeenMs, runs, calls } = await liveOrphansDay(DISKS, 1300)
  assert.ok(allSeenMs < 24 * HOUR_MS, `${allSeenMs / HOUR_MS} hours`)
  assert.ok(runs >= 22, 'no run gets to the end')
  // A death loses what was done since the last renewal of the Lease: ten seconds.
  assert.ok(calls <= DISKS + runs * 15 + 300, `${calls} questions`)
})

day('a flood of disks that users name delays those of volumes by a fifth', async () => {
  const { allSeenMs } = await liveOrphansDay(1000, 1000, 4000)
  // Of 290 queries in a run, 4 of 5 are for the 1,000 volumes: five runs.
  assert.ok(allSeenMs < 4.1 * HOUR_MS, `${allSeenMs / HOUR_MS} hours`)
})

day('one orphan sweep at a time: a second tick is told so, and makes no query to vCenter', async () => {
  const { mostAtOnce, besides, runs } = await liveOrphansDay(600, 1000)
  assert.ok(runs > 1)
  assert.is(mostAtOnce, 1)
  assert.equal([...besides.words], ['orphans: one is under way'])
  assert.is(besides.calls, 0)
})

day.run()
