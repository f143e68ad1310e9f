// The in-memory VolumeService keeps the contract of the port.

import { systemClock } from '#shared/kernel/clock.ts'
import { MemoryVolumes } from '#shared/providers/memory/volumes.ts'
import { volumesSuite } from './volumes-suite.ts'

volumesSuite('volumes in memory', async () => {
  const service = new MemoryVolumes({ clock: systemClock })
  return {
    service,
    createDisk: async (capacityBytes, cbt) => service.createDisk(capacityBytes, { cbt }),
    deleteDisk: async (fcdId) => service.deleteDisk(fcdId),
    write: async (fcdId, offsetBytes, bytes) => service.write(fcdId, offsetBytes, bytes),
    setTracking: (fcdId, on) => service.changeTracking(fcdId, on),
    slowTasks: async (on) => {
      service.callsPerTask = on ? 2 : 0
    },
    close: async () => undefined,
  }
}).run()
