"use strict";

// The page of one sentence is a viewer alone.

document.documentElement.classList.add("themed");
viewer(DATA, document.body, null);
