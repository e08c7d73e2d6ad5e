"""Language tasks: what is asked, what an answer must hold, and the judging of it. Pure; knows no vendor."""
