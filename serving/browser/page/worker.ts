import { serve, type Scope } from '../src/worker/serve.js';

serve(self as unknown as Scope);
