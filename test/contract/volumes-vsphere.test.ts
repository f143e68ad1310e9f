// The vSphere adapter keeps the contract of a VolumeService against the vCenter stand-in.

import { systemClock } from '#shared/kernel/clock.ts'
import { createVolumeService } from '#shared/providers/vsphere/service.ts'
import { volumesSuite } from './volumes-suite.ts'
import { TestVcenter } from './vsphere-vcenter.ts'

volumesSuite('volumes in vSphere', async () => {
  const vcenter = await TestVcenter.start('-slice-bytes', String(2 ** 30), '-slice-areas', '7')
  const { port, password, caPem } = vcenter
  const { user } = vcenter.ready
  const service = createVolumeService({
    loadConfig: async () => ({
      clusterId: 'c1',
      vcenters: [{ host: '127.0.0.1', port, user, password, insecure: false, caPem }],
    }),
    clock: systemClock,
  })
  return {
    service,
    createDisk: (capacityBytes, cbt) => vcenter.createDisk(capacityBytes, cbt),
    deleteDisk: (fcdId) => vcenter.deleteDisk(fcdId),
    write: (fcdId, offsetBytes, bytes) => vcenter.write(fcdId, offsetBytes, bytes),
    setTracking: (fcdId, on) => service.changeTracking(fcdId, on),
    slowTasks: (on) => vcenter.delay('VslmCreateSnapshot_Task', on ? 700 : 0),
    close: async () => {
      await service.close()
      await vcenter.stop()
    },
  }
}).run()
