// A status that a tenant forged harms no other tenant: restores into a claim that Velero makes.

import { suite } from 'uvu'
import { AWAITED, forgeEach } from './forged.ts'

const forged = suite("a status forged, of a restore into Velero's claim")
forgeEach(forged, AWAITED)
forged.run()
