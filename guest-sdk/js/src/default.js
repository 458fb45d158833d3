// The package as one object.

import * as all from "./index.js";

export default all;
