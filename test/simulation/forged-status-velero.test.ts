// A status that a tenant has written harms nobody: restores into a claim of Velero's.

import { suite } from 'uvu'
import { AWAITED, forgeEach } from './forged.ts'

const forged = suite("a status forged, of a restore into Velero's claim")
forgeEach(forged, AWAITED)
forged.run()
