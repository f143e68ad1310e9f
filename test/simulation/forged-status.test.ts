// A status that a tenant forged harms no other tenant: restores that make their claim themselves.

import { suite } from 'uvu'
import { forgeEach } from './forged.ts'

const forged = suite('a status forged, of a restore that makes its claim')
forgeEach(forged)
forged.run()
