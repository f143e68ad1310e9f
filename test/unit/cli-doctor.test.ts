// Which checks `dormouse doctor` makes, and in which order.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { stores } from '#test/support/stores.ts'
import type { ClusterAccess } from '../../cli/cluster-access.ts'
import { clusterChecks } from '../../cli/doctor.ts'

const doctor = suite('dormouse doctor')

const SILENT = { debug() {}, info() {}, warn() {}, error() {} }

function anEmptyCluster(): ClusterAccess {
  const cluster = new MemoryCluster({ clock: systemClock })
  const settings = readSettings({})
  return {
    get: async () => ({ status: 404, body: {} }),
    cluster,
    settings,
    listLocations: async () => [],
    readSecret: async () => undefined,
    deps: { cluster, clock: systemClock, settings, stores, identity: 'dormouse', log: SILENT },
  }
}

doctor('every check of the cluster runs, always in the same order', async () => {
  const found = []
  for (const check of clusterChecks(anEmptyCluster(), {})) found.push(...(await check()))
  const checks = found.map(({ check }) => check)
  const ORDER = ['flavor', 'csi', 'nodes', 'key', 'repositories', 'store', 'vcenter', 'ports', 'volumes']
  assert.equal([...new Set(checks)], ORDER)
})

doctor.run()
