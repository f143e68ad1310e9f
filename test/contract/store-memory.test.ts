// The object store in memory keeps the contract of the port.

import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { storeSuite } from './store-suite.ts'

storeSuite('object store in memory', async () => {
  const store = new MemoryObjectStore()
  const open = async () => new MemoryObjectStore({ objects: store.objects })
  return { store, open, stop: async () => undefined }
})
