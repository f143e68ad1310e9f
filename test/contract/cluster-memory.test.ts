// The in-memory cluster keeps the contract of the port.

import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import { clusterSuite } from './cluster-suite.ts'

clusterSuite('cluster in memory', async () => ({
  cluster: new MemoryCluster({ clock: systemClock }),
  namespaces: ['contract-a', 'contract-b'],
  stop: async () => undefined,
}))
