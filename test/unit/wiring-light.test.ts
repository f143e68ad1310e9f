// What every function is wired from.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { wireLight } from '#shared/wiring/light.ts'

const wiring = suite('wiring of every function')

wiring("the wall time of a function is the API server's, whatever the clock of its node says", () => {
  const { deps } = wireLight('test')
  deps.cluster.nowMs = () => 42
  assert.is(deps.clock.nowMs(), 42)
})

wiring.run()
