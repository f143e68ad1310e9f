// How long the look for orphans takes until each of 5,000 disks was looked at, in virtual time. Usage: node test/bench/orphans.ts [DISKS]

import { HOUR_MS } from '#shared/kernel/units.ts'
import { liveOrphansDay } from '#test/support/orphans-load.ts'

const disks = Number(process.argv[2] ?? 5000)
console.log(
  '| A question to vCenter takes | Runs until each was looked at | Hours | Questions | of disks that were looked at before |',
)
console.log('|---|---|---|---|---|')
for (const callMs of [50, 200, 500, 1000, 1300, 2000]) {
  const { runs, allSeenMs, calls } = await liveOrphansDay(disks, callMs)
  console.log(`| ${callMs} ms | ${runs} | ${(allSeenMs / HOUR_MS).toFixed(1)} | ${calls} | ${calls - disks} |`)
}
