// Ages by wall time, which may jump.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { isOlderThan } from '#shared/kernel/clock.ts'
import { DAY_MS, HOUR_MS } from '#shared/kernel/units.ts'

const NOW_MS = Date.parse('2026-11-30T12:00:00Z')
const ages = suite('ages')

for (const [what, sinceMs, expected] of [
  ['an hour ago', NOW_MS - HOUR_MS, false],
  ['a moment more', NOW_MS - HOUR_MS - 1, true],
  ['in a day, as clocks differ', NOW_MS + DAY_MS, false],
  ['in more than a day, by a clock that was ahead', NOW_MS + DAY_MS + 1, true],
  ['at no time', Number.NaN, false],
] as const) {
  ages(`what was made ${what} is ${expected ? '' : 'not '}older than an hour`, () => {
    assert.is(isOlderThan(HOUR_MS, sinceMs, NOW_MS), expected)
  })
}

ages.run()
