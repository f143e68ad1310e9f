// The parts from which every function, the command line and Velero's plugin are wired.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createCluster } from '#shared/adapters/kube/cluster.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { accessCluster } from '../../cli/cluster-access.ts'
import { actionDeps } from '../../velero/wire.ts'

const wiring = suite('wiring of every function')

wiring("the wall time of a function is the API server's, whatever the clock of its node says", () => {
  const { deps } = wireLight('test')
  deps.cluster.nowMs = () => 42
  assert.is(deps.clock.nowMs(), 42)
})

wiring("the wall time of the command line is the API server's, whatever the clock of its machine says", () => {
  const { deps } = accessCluster({})
  deps.cluster.nowMs = () => 42
  assert.is(deps.clock.nowMs(), 42)
})

wiring("the wall time of Velero's plugin is the API server's, whatever the clock of its node says", () => {
  const { cluster, clock } = actionDeps(createCluster({}), 'velero')
  cluster.nowMs = () => 42
  assert.is(clock.nowMs(), 42)
})

wiring.run()
